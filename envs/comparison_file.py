"""Files of recorded comparisons: who was preferred to whom, and how often.

A `.csv` file has the header `winner,loser,count`; a label is any text, and rows that name the same pair add up. A `.soc`
file (PrefLib, strict complete orders) has header lines `# KEY: value`, of which NUMBER ALTERNATIVES is read, and lines
`count: a,b,c` with every item from 1 to that number once, best first.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from envs.invalid import Invalid, require

HEADER = ["winner", "loser", "count"]
MOST_ITEMS = 10_000
MOST_COUNT = 10**9
MOST_PEOPLE = 10**6


class Tally(NamedTuple):
    """Labels of K items and the (K, K) integer array of how often the row's was preferred to the column's."""

    items: tuple[str, ...]
    counts: NDArray[np.int64]


Parsed = TypeVar("Parsed")


class _Malformed(Exception):
    """A line number, and what that line must be."""


def read_tally(path: str | os.PathLike[str]) -> Tally:
    """Count the comparisons in a file.

    Raises
    ------
    Invalid
        With the key `path`, and the number of the first line that cannot be read.
    """
    require(isinstance(path, str | os.PathLike), "path", path, "the path of a file")
    file = Path(path)
    require(not file.is_dir(), "path", path, "a file, not a folder")
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise Invalid("path", path, f"a file whose name ends in {' or '.join(_READERS)}")
    return _parsed(reader, path)


def read_rankings(path: str | os.PathLike[str]) -> NDArray[np.intp]:
    """(V, K) the place of each item, 0 for the best, in the order of each of V people: of a `.soc` file, which alone tells them apart.

    Raises
    ------
    Invalid
        With the key `path`: for a file of another kind, of more than MOST_PEOPLE people, or that cannot be read.
    """
    require(Path(path).suffix.lower() == ".soc", "path", path, "a .soc file, which tells people apart, for a learner of users")
    ballots = _parsed(_ballots, path)
    require(ballots.weights.sum() <= MOST_PEOPLE, "path", path, f"a file of at most {MOST_PEOPLE} people")
    return np.repeat(ballots.places, ballots.weights, axis=0)


def _parsed(reader: Callable[[str], Parsed], path: str | os.PathLike[str]) -> Parsed:
    """What a reader makes of a file's text, a line that it cannot read told by its number."""
    try:
        return reader(_text(Path(path)))
    except _Malformed as malformed:
        line, allowed = malformed.args
        raise Invalid("path", f"{path} line {line}", allowed) from None


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise Invalid("path", file, "an existing file") from None
    except OSError as error:
        raise Invalid("path", file, f"a readable file ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise _Malformed(error.object.count(b"\n", 0, error.start) + 1, "text in UTF-8") from None


def _read_csv(text: str) -> Tally:
    rows = _csv_rows(text)
    line, header = next(rows, (1, []))
    if header != HEADER:
        raise _Malformed(line, f"the header {','.join(HEADER)}, not {','.join(header)!r}")
    wins: Counter[tuple[str, str]] = Counter()
    for line, row in rows:
        winner, loser, count = _comparison(line, row)
        wins[winner, loser] += count
    items = _ordered({label for pair in wins for label in pair})
    if not 2 <= len(items) <= MOST_ITEMS:
        raise _Malformed(line, f"the end of a file that compares 2 to {MOST_ITEMS} items, not {len(items)}")
    place = {label: position for position, label in enumerate(items)}
    counts = np.zeros((len(items), len(items)), dtype=np.int64)
    for (winner, loser), count in wins.items():
        counts[place[winner], place[loser]] = count
    return Tally(items, counts)


def _csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, [field.strip() for field in row]
    except csv.Error as error:
        raise _Malformed(reader.line_num, f"readable as comma-separated values ({error})") from None


def _comparison(line: int, row: list[str]) -> tuple[str, str, int]:
    if len(row) != len(HEADER):
        raise _Malformed(line, f"{','.join(HEADER)}: {len(HEADER)} fields, not {len(row)}")
    winner, loser, count = row
    if not winner or not loser or winner == loser:
        raise _Malformed(line, f"two different items, not {winner!r} and {loser!r}")
    return winner, loser, _count(line, count)


def _count(line: int, text: str) -> int:
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) > MOST_COUNT:
        raise _Malformed(line, f"a count that is an integer from 0 to {MOST_COUNT}, not {text!r}")
    return int(text)


def _ordered(labels: set[str]) -> tuple[str, ...]:
    """By number where every label is one, else by the alphabet."""
    numeric = all(re.fullmatch("-?[0-9]{1,18}", label) for label in labels)
    return tuple(sorted(labels, key=lambda label: (int(label), label) if numeric else label))


class _Ballots(NamedTuple):
    """Labels of K items, how many people gave each order, and the (orders, K) places of the items in it."""

    items: tuple[str, ...]
    weights: NDArray[np.int64]
    places: NDArray[np.intp]


def _ballots(text: str) -> _Ballots:
    lines = [(number, line.strip()) for number, line in enumerate(io.StringIO(text, newline=None), 1) if line.strip()]
    items = _alternatives(lines)
    orders = [(number, line) for number, line in lines if not line.startswith("#")]
    if not orders:
        raise _Malformed(lines[-1][0], "followed by at least one line `count: order`")
    ballots = [_ballot(number, line, items) for number, line in orders]
    weights = np.array([weight for weight, _ in ballots])
    return _Ballots(items, weights, np.argsort([order for _, order in ballots], axis=1))


def _read_soc(text: str) -> Tally:
    items, weights, places = _ballots(text)
    return Tally(items, np.stack([weights @ (places[:, [item]] < places) for item in range(len(items))]))


def _alternatives(lines: list[tuple[int, str]]) -> tuple[str, ...]:
    for number, line in lines:
        key, _, value = line.removeprefix("#").partition(":")
        if line.startswith("#") and key.strip() == "NUMBER ALTERNATIVES":
            value = value.strip()
            if not re.fullmatch("[0-9]{1,5}", value) or not 2 <= int(value) <= MOST_ITEMS:
                raise _Malformed(number, f"# NUMBER ALTERNATIVES: an integer from 2 to {MOST_ITEMS}, not {value!r}")
            return tuple(str(item) for item in range(1, int(value) + 1))
    raise _Malformed(lines[0][0] if lines else 1, "part of a file with the header line # NUMBER ALTERNATIVES: K")


def _ballot(line: int, text: str, items: tuple[str, ...]) -> tuple[int, list[int]]:
    """How many gave an order, and its items counted from 0, best first."""
    count, colon, order = text.partition(":")
    if not colon:
        raise _Malformed(line, f"`count: order`, not {text!r}")
    names = [name.strip() for name in order.split(",")]
    if fault := _fault(names, items):
        raise _Malformed(line, f"an order of the items 1 to {len(items)}, each once: {fault}")
    return _count(line, count.strip()), [int(name) - 1 for name in names]


def _fault(names: list[str], items: tuple[str, ...]) -> str | None:
    known, tally = set(items), Counter(names)
    for name in names:
        if name not in known:
            return f"{name!r} is none of them"
        if tally[name] > 1:
            return f"{name} is repeated"
    return next((f"{item} is missing" for item in items if item not in tally), None)


_READERS = {".csv": _read_csv, ".soc": _read_soc}
