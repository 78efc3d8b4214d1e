"""Bad configurations, made from what conf/ says of its keys: command lines with one thing wrong, and the key and the value at fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from hydra.utils import get_object

from simlab import catalogue

NUMBER = r"-?[\d.]+(?:e-?\d+)?(?:/\d+)?"
INTERVAL = re.compile(rf"number in ([\[(])({NUMBER}), ([^,]*?)[\])](?:,|$)")
LEAST = re.compile(r"integer (?:>= |from )(\d+)(?: to (\d+)\b)?")
OVER = re.compile(r"number (?:above|>) 0")
FROM = re.compile(r"number >= 0")

NEEDS = {
    "env/matrix": {"env.rows": "[[0.5,1],[0,0.5]]"},
    "env/recorded": {"env.path": "good.csv"},
    "ridge": {"env": "pairs", "algorithm": "dpo"},
    "env/pairs": {"algorithm": "dpo"},
    "env/pairs_annotators": {"algorithm": "dpo"},
    "env/pairs_margin": {"algorithm": "dpo"},
    "env/pairs_targeted": {"algorithm": "dpo", "env.flip.pairs": "[[0,1]]"},
    "feedback/duels_targeted": {"feedback.flip.pairs": "[[0,1]]"},
    "start/given": {"start.policy": "[0.2,0.3,0.5]"},
    "scaled/lm": {"scaled.model": "model", "scaled.dataset": "pairs.jsonl"},
}
"""What else must be said where a member is chosen, or a key is set."""

GROUPS = {"run": ("env", "algorithm", "feedback", "start"), "train": ("scaled",), "verify": (), "falsify": ()}
CLAIM = {"falsify": ("claim=EG-1",)}
OPEN = ("store", "claim", "replay", "tracker", "record", "measure", "grid", "threads", "block")
OPEN += ("path", "split", "template", "targets", "model", "dataset")
"""Keys whose values are texts, names or of a kind of their own: what is wrong with them is written out in the tests."""


class Shot(NamedTuple):
    """A command line, what is wrong with it, and the key and the value that the refusal must name."""

    fault: str
    words: tuple[str, ...]
    key: str
    value: str


def shots() -> Iterator[Shot]:
    """Every bad value of every key of every member."""
    for command, chosen, key, default, said in _keys():
        yield from _at(command, chosen, key, default, said)


def open_ended() -> Iterator[Shot]:
    """Huge values, no bad ones, of numbers that are said to be bounded below only; of members, those of `simlab run`."""
    for command, chosen, key, _, said in _keys():
        if (command == "run" or key == "beta") and (OVER.search(said) or FROM.search(said)):
            words = {**chosen, key: "1e101"}
            yield Shot("huge", (command, *(f"{name}={text}" for name, text in words.items())), key, "1e101")


def _keys() -> Iterator[tuple[str, dict[str, str], str, str, str]]:
    """The command, what must be chosen, the key, its default and its comment: every key of every member."""
    for command, groups in GROUPS.items():
        for key, (default, said) in catalogue.comments(command).items():
            if not key.startswith("hydra.") and key not in OPEN:
                yield command, NEEDS.get(key, {}), key, default, said
        for group in groups:
            for member in catalogue.groups()[group]:
                chosen = {group: member} | _needs(group, member)
                for key, (default, said) in catalogue.comments(f"{group}/{member}").items():
                    if key.rpartition(".")[2] not in (*OPEN, "_target_"):
                        yield command, chosen, f"{group}.{key}", default, said


def _needs(group: str, member: str) -> dict[str, str]:
    if group != "algorithm":
        return NEEDS.get(f"{group}/{member}", {})
    method = get_object(catalogue.content(f"algorithm/{member}")["_target_"])
    return {"env": "pairs"} if hasattr(method, "slope") else {"env": "population"} if hasattr(method, "fit") else {}


def _at(command: str, chosen: dict[str, str], key: str, default: str, said: str) -> Iterator[Shot]:
    for fault, value in bad_values(default, said).items():
        words = {**chosen, key: value}
        yield Shot(fault, (command, *CLAIM.get(command, ()), *(f"{name}={text}" for name, text in words.items())), key, value)


def bad_values(default: str, said: str) -> dict[str, str]:
    """What a key whose comment says this does not take, by what is wrong with it."""
    found = {"text": "abc", "mapping": "{a:1}", "empty": "", "unicode": "ℵ₀", "no number": "nan", "nested list": "[[[]]]"}
    if "null" not in said:
        found["null"] = "null"
    if said.endswith("true or false"):
        return found | {"number": "2", "list": "[true]"}
    if "list of" in said or default == "???":
        listed = {"number": "7", "truth value": "true", "nan in a list": "[nan]", "infinite in a list": "[.inf]", "mixed": "[0.5,abc]"}
        both = {} if said.startswith("scores") else {"negative in a list": "[-1,0.5]", "twice": "[3,3]"}
        return found | listed | both | {"empty list": "[]"}
    found |= {"truth value": "true", "list": "[1]", "infinite": "inf", "minus infinite": "-inf"}
    if least := LEAST.search(said):
        found |= {"negative": "-1000000", "fraction": f"{int(least[1]) + 1}.5", "whole fraction": "7.0"}
        found |= {} if "or 0" in said else {"too small": str(int(least[1]) - 1)}
        found |= {} if least[1] == "0" else {"huge": str(10**30)}
        found |= {"long": str(10**12)} if said.startswith("tokens of a response") else {}
        return found | ({"too large": str(int(least[2]) + 1)} if least[2] else {})
    if inside := INTERVAL.search(said):
        low = Fraction(inside[2])
        found |= {"below": str(float(low - 1))} | ({"at its open end": str(float(low))} if inside[1] == "(" else {})
        above = "10.5" if inside[3].startswith("1/") and inside[3] != "1/2" else str(float(2 * Fraction(inside[3]) + 1))
        return found | {"above": above}
    if OVER.search(said) or FROM.search(said):
        return found | {"negative": "-0.5"} | ({} if FROM.search(said) else {"zero": "0"})
    return {"mapping": "{a:1}", "unicode": "ℵ₀", "no number": "nan", "list": "[1]", "number": "-3.5"}


def misspelt() -> Iterator[Shot]:
    """Every key of which enough is left when its last but one letter is, with what must be suggested as the value."""
    for shot in first_of_each_key(shots()):
        if len(shot.key.rpartition(".")[2]) >= 4:
            wrong = shot.key[:-2] + shot.key[-1]
            yield Shot("misspelt", (*shot.words[:-1], f"{wrong}=1"), wrong, shot.key)


def swept() -> Iterator[Shot]:
    """The first bad value of every key, in a sweep after one that is good."""
    for shot in first_of_each_key(shots()):
        if shot.words[0] in ("run", "train") and "lm" not in shot.words[1] and shot.key != "seed":
            yield Shot("swept", (shot.words[0], "-m", *shot.words[1:], "seed=0,1"), shot.key, shot.value)


def first_of_each_key(given: Iterator[Shot]) -> Iterator[Shot]:
    """One shot for each key of each member."""
    met: set[tuple[str, ...]] = set()
    for shot in given:
        place = (*shot.words[:-1], shot.key)
        if place not in met:
            met.add(place)
            yield shot


def rotated(given: Iterator[Shot], each: int) -> list[Shot]:
    """So many shots of every key, of other faults at the next key, and one of every fault."""
    homes: dict[tuple[str, ...], list[Shot]] = {}
    firsts: dict[str, Shot] = {}
    for shot in given:
        homes.setdefault((*shot.words[:-1], shot.key), []).append(shot)
        firsts.setdefault(shot.fault, shot)
    turns = [(number, turn, found) for number, found in enumerate(homes.values()) for turn in range(each)]
    chosen = [found[(number + turn * len(found) // each) % len(found)] for number, turn, found in turns]
    return list(dict.fromkeys([*chosen, *firsts.values()]))
