"""From a configuration to the experiment that it describes: training where there is a model, else by what its method can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig

from envs.invalid import Invalid
from simlab.configuration import resolved
from simlab.experiment import Experiment, member_name, require_idle
from simlab.gridded import check_cells
from simlab.members import blaming

KINDS = {"tableau": "simlab.self_play.SelfPlay", "slope": "simlab.offline.Offline", "fit": "simlab.pluralistic.Pluralistic"}
"""Kinds of experiment, by what their methods offer; a run imports its own only."""

TRAINING = {"tableau": "simlab.training.SelfPlayTraining", "slope": "simlab.training_offline.OfflineTraining"}
"""The same for methods on a model whose responses are enumerated."""

LANGUAGE = {"tableau": "simlab.language_training.LanguageSelfPlay", "slope": "simlab.language_pairs.LanguagePairs"}
"""The same for methods on a language model: one that has a dataset."""


def checked(config: DictConfig) -> Experiment:
    """Check a configuration and make what it describes.

    Raises
    ------
    Invalid, Refused
        With the full key of the first value that is wrong.
    """
    plain = resolved(config)
    if "scaled" in plain:
        return _checked(plain, LANGUAGE if "dataset" in plain["scaled"] else TRAINING)
    if plain["grid"] is not None:
        return check_cells(plain, lambda cell: _checked(cell, KINDS))
    require_idle(plain, ["cells", "block"], "only a grid has blocks")
    return _checked(plain, KINDS)


def _checked(config: dict[str, Any], kinds: Mapping[str, str]) -> Experiment:
    with blaming(config, "algorithm"):
        method = get_object(config["algorithm"]["_target_"])
    able = [kind for ability, kind in kinds.items() if hasattr(method, ability)]
    if not able:
        wanted = "a method that can be trained" if "scaled" in config else "a method"
        raise Invalid("algorithm", member_name(config, "algorithm"), f"{wanted}: with one of {', '.join(kinds)}")
    return get_object(able[0]).from_config(config)
