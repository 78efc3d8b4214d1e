"""From a configuration to the experiment that it describes, by what its method can do."""

from __future__ import annotations

from hydra.utils import get_object
from omegaconf import DictConfig

from simlab.experiment import Experiment
from simlab.members import blaming
from simlab.offline import Offline
from simlab.pluralistic import Pluralistic
from simlab.self_play import SelfPlay

KINDS: dict[str, type[Offline | Pluralistic | SelfPlay]] = {"tableau": SelfPlay, "slope": Offline, "fit": Pluralistic}
"""Kinds of experiment, by what their methods offer."""


def checked(config: DictConfig) -> Experiment:
    """Check a configuration and make what it describes.

    Raises
    ------
    Invalid, Refused
        With the full key of the first value that is wrong.
    """
    with blaming(config, "algorithm"):
        method = get_object(config.algorithm._target_)
        kind = next((kind for ability, kind in KINDS.items() if hasattr(method, ability)), SelfPlay)
    return kind.from_config(config)
