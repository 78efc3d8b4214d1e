"""The worst case of a search on disk: what was found, and the world and the start as members for `simlab run`.

    STORE/falsify/NAME.json          the claim, the ratio, the case, how it was searched for, versions
    STORE/falsify/env/NAME.yaml      the same game, for env=NAME
    STORE/falsify/start/NAME.yaml    the same start, for start=NAME; none where that is the reference

Numbers are written so that they read back as they were. NAME is that of the claim's file with the seed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from envs.game import Game
from envs.invalid import Invalid, require
from envs.start import GivenStart, ReferenceStart
from simlab.finished import versions
from simlab.refusal import explain
from simlab.store import replacing
from theory.candidates import Case
from theory.falsify import Worst

FORMAT = 1
FOLDER = "falsify"
"""Of a store."""


def written(case: Case) -> dict[str, Any]:
    """A case as plain numbers."""
    game = case.game
    uniform = np.ptp(game.log_reference) == 0
    return {
        "rows": game.preference.tolist(),
        "reference": "uniform" if uniform else np.exp(game.log_reference).tolist(),
        "start": "reference" if case.instance.at_reference else np.exp(case.start).tolist(),
        "beta": game.beta,
        "value": case.value,
    }


def made(numbers: Mapping[str, Any]) -> Case:
    """The case that numbers stand for.

    Raises
    ------
    Invalid
        Where they make no game, no start or no beta.
    """
    preference = np.array(numbers["rows"], dtype=np.float64)
    actions, weights = len(preference), numbers["reference"]
    log_reference = np.full(actions, -np.log(actions)) if weights == "uniform" else np.log(np.array(weights) / np.sum(weights))
    game = Game(preference, log_reference, numbers["beta"])
    start = ReferenceStart() if numbers["start"] == "reference" else GivenStart(policy=numbers["start"])
    return Case(game, start.log_policy(game), numbers["value"])


def number(ratio: float) -> float | str:
    """A ratio in JSON, which has no infinity."""
    return "inf" if math.isinf(ratio) else ratio


def keep(store: str, name: str, worst: Worst, about: Mapping[str, Any]) -> Path:
    """Write a worst case, in place of an earlier one of this name; returns the file.

    Raises
    ------
    Invalid
        With the key `store`, if it cannot be written.
    """
    folder, numbers = Path(store).expanduser() / FOLDER, written(worst.case)
    file = {"format": FORMAT, **about, "ratio": number(worst.ratio), "falsified": worst.falsifies, "case": numbers, "versions": versions()}
    world = {"_target_": "envs.matrix.Matrix", "rows": numbers["rows"], "reference": numbers["reference"], "contexts": 1}
    head = f"# The worst case of {about['claim']} that a search found, at beta = {worst.case.game.beta:g}.\n"
    try:
        _write(folder / "env" / f"{name}.yaml", head + OmegaConf.to_yaml(OmegaConf.create(world)))
        if numbers["start"] == "reference":
            (folder / "start" / f"{name}.yaml").unlink(missing_ok=True)
        else:
            start = {"_target_": "envs.start.GivenStart", "policy": numbers["start"]}
            _write(folder / "start" / f"{name}.yaml", head + OmegaConf.to_yaml(OmegaConf.create(start)))
        _write(folder / f"{name}.json", json.dumps(file, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    except OSError as error:
        raise Invalid("store", store, f"a folder that can be written ({explain(error)})") from error
    return folder / f"{name}.json"


def recall(path: object) -> Case:
    """The case of a file that `keep` wrote.

    Raises
    ------
    Invalid
        With the key `replay`.
    """
    require(isinstance(path, str) and path, "replay", path, "the path of a file that simlab falsify has saved")
    try:
        return made(json.loads(Path(str(path)).expanduser().read_text(encoding="utf-8"))["case"])
    except OSError as error:
        raise Invalid("replay", path, f"a file that can be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise Invalid("replay", path, f"a file that simlab falsify has saved ({type(error).__name__}: {error})") from None


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
