"""The words after a command that Hydra runs: a few flags, and overrides KEY=VALUE."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from simlab.refusal import Refused


@dataclass(frozen=True)
class Request:
    """What a user asked of a command.

    Attributes
    ----------
    command : name of the command and of its primary configuration, conf/<command>.yaml
    overrides : KEY=VALUE, as written
    sweep : whether to run once for each combination of values
    inspect : Hydra's own flags, which show a configuration instead of running it
    help : whether only help is wanted
    """

    command: str
    overrides: tuple[str, ...]
    sweep: bool = False
    inspect: tuple[str, ...] = ()
    help: bool = False


class Parser(argparse.ArgumentParser):
    """Reads the words of a command, and refuses them in one line, which ends in a hint."""

    def __init__(self, hint: str, **options: Any):
        super().__init__(allow_abbrev=False, **options)
        self.hint = hint

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message} ({self.hint})")


def parse(command: str, arguments: list[str]) -> Request:
    """Read the words after `simlab <command>`."""
    parser = Parser(f"simlab {command} --help lists what there is", prog=command, add_help=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-cd", "--config-dir")
    parser.add_argument("-c", "--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("--resolve", action="store_true")
    words = parser.parse_intermixed_args(arguments)
    inspect = [*(["--cfg", words.cfg] if words.cfg else []), *(["--resolve"] if words.resolve else [])]
    return Request(command, (*words.overrides, *_search(words)), words.multirun, tuple(inspect), words.help)


def _search(words: argparse.Namespace) -> list[str]:
    """The override that makes Hydra look into a folder of the user's."""
    if words.config_dir is None:
        return []
    folder = Path(words.config_dir).absolute()
    if not folder.is_dir():
        raise Refused(f"--config-dir={words.config_dir}: must be an existing folder")
    if any(word.lstrip("+").startswith("hydra.searchpath=") for word in words.overrides):
        raise Refused(f"--config-dir={words.config_dir}: must be given without hydra.searchpath")
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return [f"hydra.searchpath=['file://{quoted}']"]
