"""What conf/ offers, read from its files alone: groups, their members, and the comment that explains each key.

A member's file opens with a comment that says what it is; a comment of one line stands above each key.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import conf

CONF = Path(conf.__path__[0])
GLOBAL = "# @package _global_"
_LINE = re.compile(r"( *)(?:# ?(.*)|- .*()|(\w+):(.*))")
_DEFAULT = re.compile(r" *# (.*)\n *- (\w+): (\w+)")


def groups() -> dict[str, list[str]]:
    """Members of each configuration group, by the group's name."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONF.glob("*/*.yaml")):
        found.setdefault(path.parent.name, []).append(path.stem)
    return found


def inner_groups() -> dict[str, list[str]]:
    """The same of groups that members of other groups have: `scaled/oracle`."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONF.glob("*/*/*.yaml")):
        found.setdefault(f"{path.parent.parent.name}/{path.parent.name}", []).append(path.stem)
    return found


def defaults(name: str) -> dict[str, tuple[str, str]]:
    """Default member and comment of each group that a command, named as `run`, or a member, named as `scaled/lm`, offers."""
    text = _text(name)
    return {group: (member, comment) for comment, group, member in _DEFAULT.findall(text)}


@cache
def content(name: str) -> dict[str, Any]:
    """What a file of conf/ holds, named as `run` or `env/cyclic`; not to be changed."""
    return yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))


def purpose(name: str) -> str:
    """The sentence that opens a file of conf/, named as `run` or `env/cyclic`."""
    first = next(iter(_lines(name)), "")
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def comments(name: str) -> dict[str, tuple[str, str]]:
    """Default and comment of each key of a file, keys of keys with dots: {"flip.flip": ("0.1", "probability ...")}."""
    return dict(_keys(_lines(name)[1:]))


def sets_all_keys(name: str) -> bool:
    """Whether a file of conf/ sets keys by their full names, not those of its group."""
    return _text(name).startswith(GLOBAL)


def _lines(name: str) -> list[str]:
    """The lines of a file of conf/, without Hydra's directive."""
    return _text(name).removeprefix(f"{GLOBAL}\n").splitlines()


def _text(name: str) -> str:
    path = CONF / f"{name}.yaml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _keys(lines: Iterable[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    parents: list[tuple[int, str]] = []
    comment = ""
    for match in filter(None, map(_LINE.fullmatch, lines)):
        indent, said, item, key, value = len(match[1]), match[2], match[3], match[4], match[5]
        if key is None:
            comment = said if item is None else ""
            continue
        parents = [(depth, name) for depth, name in parents if depth < indent]
        if value.strip():
            yield ".".join([*(name for _, name in parents), key]), (value.strip(), comment)
        else:
            parents.append((indent, key))
        comment = ""


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)` where a known word is close to `word`; keys of one group are compared by their ends."""
    home, _, end = word.rpartition(".")
    names = list(known)
    beside = {name.rpartition(".")[2]: name for name in names if name.rpartition(".")[0] == home}
    elsewhere = {name.rpartition(".")[2]: name for name in reversed(names)}
    close = difflib.get_close_matches(end, beside, n=1, cutoff=0.6)
    found = beside[close[0]] if close else elsewhere.get(end)
    return f" (did you mean {found}?)" if found else ""
