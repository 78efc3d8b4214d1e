"""`simlab collect FOLDER`: the runs of a store as one tidy table, each row with the settings that tell its run apart.

A setting is a column where it varies between the runs: top-level keys by their name, keys of groups as in `env.flip`, members of
groups as `env` and `algorithm`. The files themselves can be read in place, too: DuckDB's `SELECT ... FROM 'FOLDER/*.parquet'`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import yaml

from envs.invalid import Invalid
from simlab import store
from simlab.identity import IRRELEVANT
from simlab.refusal import FAILED, Refused

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

WRITERS = {".parquet": pq.write_table, ".csv": pyarrow.csv.write_csv}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message} (usage: simlab collect FOLDER [--output FILE])")


def collect(words: Sequence[str]) -> int:
    """Read a folder, write a file; returns the exit status: 0 unless a file of the folder could not be read.

    Raises
    ------
    Refused
        For a folder without runs, or a file that cannot be written.
    """
    parser = _Parser(prog="simlab collect", description=__doc__.partition("\n")[0], allow_abbrev=False)  # type: ignore[union-attr]
    parser.add_argument("folder", help="a store of simlab run or simlab train")
    parser.add_argument("--output", help="a file .parquet or .csv; FOLDER.parquet beside the folder by default")
    given = parser.parse_args(list(words))
    folder = Path(given.folder).expanduser()
    named = folder if folder.name else folder.resolve()
    output = Path(given.output).expanduser() if given.output else named.with_name(f"{named.name}.parquet")
    if output.suffix not in WRITERS:
        raise Refused(f"--output={given.output}: must end in {' or '.join(WRITERS)}")
    runs, damaged = read(folder)
    table = gather(runs)
    with store.replacing(output) as temporary:
        WRITERS[output.suffix](table, temporary)
    print(f"{table.num_rows:,} rows of {len(runs):,} runs in {output}")
    for reason in damaged:
        print(f"simlab: left out: {reason}", file=sys.stderr)
    return FAILED if damaged else 0


def read(folder: Path) -> tuple[list[store.Stored], list[str]]:
    """The runs of a folder in the order of their names, and why files were left out."""
    if not folder.is_dir():
        raise Refused(f"{folder}: must be an existing folder")
    runs, damaged = [], []
    for path in sorted(folder.glob("*.parquet")):
        try:
            runs.append(store.read(path))
        except Invalid as error:
            damaged.append(f"{path}: must be {error.allowed}")
    if not runs:
        raise Refused(f"{folder}: must hold at least one run ({len(damaged)} files cannot be read)")
    return runs, damaged


def gather(runs: Sequence[store.Stored]) -> pa.Table:
    """One table; a column that a run does not have is null in its rows."""
    settings = [dict(_settings(yaml.load(run.metadata["config"], _LOADER))) for run in runs]
    keys = dict.fromkeys(key for each in settings for key in each)
    varying = [key for key in keys if len({str(each.get(key)) for each in settings}) > 1]
    columns = {key: _alike([each.get(key) for each in settings]) for key in varying}
    parts = [_with(run, {key: values[number] for key, values in columns.items()}) for number, run in enumerate(runs)]
    return pa.concat_tables(parts, promote_options="permissive")


def _alike(values: list[Any]) -> list[Any]:
    """The values of one setting, as text where they are not all numbers, or all true or false."""
    kinds = {type(value) for value in values if value is not None}
    return values if kinds <= {int, float} or kinds == {bool} else [value if value is None else str(value) for value in values]


def _settings(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted key; a member of a group by the module of its class."""
    for key, value in config.items():
        if key == "_target_":
            yield prefix.removesuffix("."), value.split(".")[-2]
        elif isinstance(value, dict):
            yield from _settings(value, f"{prefix}{key}.")
        elif prefix or key not in IRRELEVANT:
            yield f"{prefix}{key}", value


def _with(run: store.Stored, settings: dict[str, Any]) -> pa.Table:
    """A run's rows after its settings; one that bears a column's name is `config.` and that."""
    rows = run.table.num_rows
    columns = {"run": run.path.stem}
    for key, value in settings.items():
        name = f"config.{key}" if key in run.table.column_names else key
        columns[name] = value
    table = pa.table({name: pa.array([value] * rows) for name, value in columns.items()})
    for name in run.table.column_names:
        table = table.append_column(name, run.table.column(name))
    return table
