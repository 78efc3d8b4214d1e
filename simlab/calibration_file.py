"""calibration.json: what `simlab calibrate store=DIR` keeps in DIR; strict JSON, written whole or not at all.

A later calibration of the same code on the same instances adds to it: null seeds of the same claims add up, so that they can be shared
out, and what is measured again takes the place of what was there. One of other code or other instances starts anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from envs.invalid import Invalid
from simlab import identity, store
from simlab.finished import versions
from simlab.measured import Alarms, Measured
from simlab.refusal import explain
from simlab.verdict_file import NUMERIC
from theory.calibration import Share
from theory.power import Power, Rung

NAME = "calibration.json"


def keep(folder: object, measured: Measured, config: DictConfig) -> Measured:
    """Write it, beside what the folder holds; returns all that it then holds.

    Raises
    ------
    Invalid
        With the key `store`, if it cannot be written.
    """
    path, head = _place(folder), _head(config)
    measured = measured.after(_earlier(path, head))
    try:
        with store.replacing(path) as temporary:
            temporary.write_text(json.dumps(head | asdict(measured), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise Invalid("store", folder, f"a folder that can be written ({explain(error)})") from error
    return measured


def read(path: Path) -> tuple[Measured, dict[str, Any]]:
    """What a file holds, and its head: versions and setting."""
    file = json.loads(path.read_text(encoding="utf-8"))
    return _measured(file), {key: file[key] for key in ("versions", "sources", "setting")}


def _place(folder: object) -> Path:
    return Path(str(folder)).expanduser() / NAME


def _head(config: DictConfig) -> dict[str, Any]:
    """What the numbers of a file have in common."""
    setting = {key: OmegaConf.to_object(config)[key] for key in ("instances", "brief")}  # type: ignore[index, call-overload]
    return {"versions": versions(), "sources": identity.sources(NUMERIC), "setting": setting}


def _earlier(path: Path, head: dict[str, Any]) -> Measured:
    try:
        measured, before = read(path)
    except (OSError, ValueError, KeyError, TypeError):
        return Measured()
    return measured if before == head else Measured()


def _measured(file: dict[str, Any]) -> Measured:
    alarms = {
        name: Alarms(each["findings"], each["nominal"], Share(**each["refused"]), Share(**each["significant"]))
        for name, each in file["alarms"].items()
    }
    powers = {name: Power(**each | {"rungs": tuple(map(_rung, each["rungs"]))}) for name, each in file["power"].items()}
    coverage = {name: Share(**each) for name, each in file["coverage"].items()}
    return Measured(file["seeds"], alarms, Share(**file["family"]), file["p_values"], powers, coverage)


def _rung(each: dict[str, Any]) -> Rung:
    return Rung(each["size"], Share(**each["refused"]), Share(**each["significant"]) if each["significant"] else None)
