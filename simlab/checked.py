"""From a configuration to the experiment that it describes: training where there is a model, else by what its method can do."""

from __future__ import annotations

from hydra.utils import get_object
from omegaconf import DictConfig

from envs.invalid import Invalid
from simlab.experiment import Experiment, member_name
from simlab.members import blaming
from simlab.offline import Offline
from simlab.pluralistic import Pluralistic
from simlab.self_play import SelfPlay
from simlab.training import SelfPlayTraining, Training
from simlab.training_offline import OfflineTraining

KINDS: dict[str, type[Offline | Pluralistic | SelfPlay]] = {"tableau": SelfPlay, "slope": Offline, "fit": Pluralistic}
"""Kinds of experiment, by what their methods offer."""

TRAINING: dict[str, type[Training]] = {"tableau": SelfPlayTraining, "slope": OfflineTraining}
"""The same for methods on a model."""


def checked(config: DictConfig) -> Experiment:
    """Check a configuration and make what it describes.

    Raises
    ------
    Invalid, Refused
        With the full key of the first value that is wrong.
    """
    kinds = TRAINING if "scaled" in config else KINDS
    with blaming(config, "algorithm"):
        method = get_object(config.algorithm._target_)
    able = [kind for ability, kind in kinds.items() if hasattr(method, ability)]
    if not able:
        wanted = "a method that can be trained" if "scaled" in config else "a method"
        raise Invalid("algorithm", member_name(config, "algorithm"), f"{wanted}: with one of {', '.join(kinds)}")
    return able[0].from_config(config)
