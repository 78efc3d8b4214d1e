"""A grid of settings: what varies in it, its cells, and the blocks that jobs hold.

`grid={beta: [0.01, 0.1], env.intransitivity: [0, 0.5, 1]}` has six cells, the last key varying fastest. A job runs one block, at
most `cells` of them in their order, so that what Hydra takes to prepare a job (a tenth of a second) is spent once for many cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from envs.dials import require_integer
from envs.invalid import Invalid, require

KEYS = ("grid", "cells", "block")
"""Top-level keys that say what the grid is."""

FIXED = (*KEYS, "store", "threads", "seeds", "seed", "record", "measure")
"""Top-level keys that have one value in all cells."""


def axes(config: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values of each key of a configuration's grid, keys of keys with dots.

    Raises
    ------
    Invalid
        For a grid that is no mapping, or a key that cannot vary or has no list of different values.
    """
    given = config["grid"]
    require(isinstance(given, Mapping) and given, "grid", given, "null, or {KEY: [VALUE, ...]} with at least one key")
    found = dict(_flat(given))
    for key, values in found.items():
        several = isinstance(values, list) and bool(values) and all(values.count(value) == 1 for value in values)
        require(several, f"grid.{key}", values, "a list of values, each once")
        require(key not in FIXED, f"grid.{key}", values, f"left out: {key} has one value in all cells")
    return found


def block_count(config: Mapping[str, Any]) -> int:
    """How many blocks the grid of a configuration has."""
    require_integer("cells", config["cells"], 1)
    return -(-_size(config) // config["cells"])


def cells(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings of each cell of a configuration's block.

    Raises
    ------
    Invalid
        Also for a block that the grid does not have.
    """
    blocks, block, most = block_count(config), config["block"], config["cells"]
    require_integer("block", block, 0)
    require(block < blocks, "block", block, f"less than {blocks}, the number of blocks of the grid")
    keys, values = zip(*axes(config).items(), strict=True)
    chosen = itertools.islice(itertools.product(*values), block * most, (block + 1) * most)
    return [dict(zip(keys, cell, strict=True)) for cell in chosen]


def at(config: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of one cell: that of a run without a grid."""
    found: dict[str, Any] = {**config, "grid": None}
    for key, value in cell.items():
        *homes, name = key.split(".")
        node = found
        for home in homes:
            node[home] = {**node[home]} if isinstance(node.get(home), dict) else {}
            node = node[home]
        if name not in node:
            raise Invalid(f"grid.{key}", value, "of a key that there is")
        node[name] = value
    return found


def alike(values: list[Any]) -> list[Any]:
    """The values of one setting, as text where they are not all numbers, or all true or false."""
    kinds = {type(value) for value in values if value is not None}
    return values if kinds <= {int, float} or kinds == {bool} else [value if value is None else str(value) for value in values]


def _size(config: Mapping[str, Any]) -> int:
    return math.prod(len(values) for values in axes(config).values())


def _flat(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
