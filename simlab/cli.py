"""The command `simlab`: reads the command word, hands the rest over, and tells every error in one line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

import simlab
from simlab import catalogue
from simlab.interrupt import leave
from simlab.manual import manual
from simlab.refusal import FAILED, Refused, explain, status_of, wants_traceback
from simlab.request import parse

COMMANDS = {
    "run": ("simlab.simulation:run", "run a method on a world, once or in a sweep, and store the results"),
    "train": ("simlab.simulation:run", "run a method on a language model, beside the same method on a table"),
    "collect": ("simlab.collect:collect", "gather the runs of a folder into one table"),
    "verify": ("simlab.verification:verify", "check the claims of the literature on worlds whose truth is known"),
    "falsify": ("simlab.falsification:falsify", "search for the world on which a claim comes out worst, or is false"),
    "calibrate": ("simlab.calibration:calibrate", "measure how often the tests of claims err, and what they notice"),
    "report": ("simlab.report.command:report", "write one HTML file on the verdicts and the runs of a folder"),
    "scorecard": ("simlab.scorecard:scorecard", "measure what the verdicts are worth, and tell which targets are held"),
    "bench": ("benchmarks.command:bench", "time simlab beside other libraries, on the same instances"),
}

HELP = """\
usage: simlab COMMAND [KEY=VALUE ...]

A simulation and theory testbed for preference learning.

commands:
{commands}

  simlab COMMAND --help    explains a command and its settings
  simlab --version         prints the version

examples:
  simlab run env=blend algorithm=nash_md               one method on one world
  simlab run -m env=blend algorithm=egpo,sppo seeds=64 a sweep: one run for each method, 64 seeds each
  simlab run env=pairs env.flip=0.2 algorithm=rdpo     an offline learner on noisy labels
  simlab collect simlab_store --output table.csv       all rows of a folder, with the settings that vary
  simlab verify                                        a verdict for every claim
  simlab falsify claim=EG-1                            the worst world that a search of 20 s finds
  simlab calibrate claim=RDPO-7 seeds=100              false alarms of its test, and how small an error it notices
  simlab report simlab_store                           one HTML file on the verdicts and runs of a folder
  simlab bench mirror_descent                          the kernel beside numpy, torch, jax and OpenSpiel
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (that of the process when None); returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        if wants_traceback():
            traceback.print_exc()
        print(f"simlab: {explain(error)}", file=sys.stderr)
        if isinstance(error, KeyboardInterrupt) and arguments is None:
            leave(status_of(error))
        return status_of(error)


def _main(words: list[str]) -> int:
    first, rest = (words[0], words[1:]) if words else ("--help", [])
    if first in ("-h", "--help"):
        print(HELP.format(commands="\n".join(f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items())), end="")
    elif first == "--version":
        print(f"simlab {simlab.__version__}")
    elif first in COMMANDS:
        return _command(first, rest)
    else:
        raise Refused(f"{first}: must be one of {', '.join(COMMANDS)}{catalogue.suggestion(first, COMMANDS)}; simlab --help explains them")
    return 0


def _command(name: str, words: list[str]) -> int:
    """Hand over the words: those of a command with a file in conf/ are a request to Hydra."""
    module, _, function = COMMANDS[name][0].partition(":")
    if not (catalogue.CONF / f"{name}.yaml").is_file():
        return getattr(import_module(module), function)(words)
    request = parse(name, words)
    if request.help:
        print(manual(request))
        return 0
    return getattr(import_module(module), function)(request)
