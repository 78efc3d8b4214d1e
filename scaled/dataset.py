"""Datasets of prompts and preference pairs: a file, a folder that `datasets` has saved, or a dataset of the Hugging Face hub.

A row has `prompt`, or `prompt`, `chosen` and `rejected`: plain text, or a conversation, a list of turns {role, content}. Other
columns and other keys of turns are ignored. Where one of the three is a conversation, all are: a plain prompt is a turn of the
user, a plain answer one of the assistant. An answer may repeat the prompt in front. Without a prompt, answers that are
conversations begin with it: it is all that their beginnings have in common.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

from envs.invalid import Invalid, require
from scaled.prompts import Content, Example, Message
from simlab.refusal import shown

COLUMNS = ("prompt", "chosen", "rejected")
LINES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")

Row = dict[str, Any]


class _Malformed(Exception):
    """What is wrong with a row."""


def read(source: str, split: str = "train") -> list[Example]:
    """The examples of a dataset, at least one, in its order: all of them with answers, or none.

    Parameters
    ----------
    source : a file of lines, `.jsonl` or `.json` (also `.gz`), a file `.parquet`, a folder of `save_to_disk`, or a name of the hub
    split : the part that is read, where there are parts; `train` otherwise

    Raises
    ------
    Invalid
        With the key `dataset`: for what cannot be read, and for the first line, or row of a table, that does not have this form.
    """
    require(isinstance(source, str) and source, "dataset", source, "a file, a folder, or the name of a dataset of the hub")
    require(isinstance(split, str) and split, "split", split, "the name of a split")
    examples: list[Example] = []
    for number, record in enumerate(_records(source, split), 1):
        line = isinstance(record, bytes)
        try:
            if not line or record.strip():
                examples.append(_example(number, _parsed(record) if line else record))
                _require_alike(examples[0], examples[-1])
        except _Malformed as fault:
            allowed = f"a {'JSON object' if line else 'row'} with prompt, or with prompt, chosen and rejected ({fault})"
            raise Invalid("dataset", f"{source}, {'line' if line else 'row'} {number}", allowed) from None
    require(examples, "dataset", source, "a dataset of at least one example")
    return examples


def _records(source: str, split: str) -> Iterable[Any]:
    """The lines of a file, as bytes, or the rows of a table."""
    path = Path(os.path.expanduser(source))
    if path.is_dir():
        return _saved(source, path, split)
    if not path.name.lower().endswith((*LINES, ".parquet")):
        require(not path.exists(), "dataset", source, f"a file whose name ends in {', '.join(LINES)} or .parquet")
        return _hub(source, split)
    require(path.exists(), "dataset", source, "an existing file")
    _require_whole(source, split)
    return _parquet(source, path) if path.suffix.lower() == ".parquet" else _lines(source, path)


def _lines(source: str, path: Path) -> Iterator[bytes]:
    opened: Any = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rb") as file:
            yield from file
    except (OSError, EOFError, zlib.error) as error:
        raise Invalid("dataset", source, f"a readable file ({_reason(error)})") from None


def _parquet(source: str, path: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            rows = file.read(columns=_known(names)).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Invalid("dataset", source, f"a readable parquet file ({_reason(error)})") from None
    _require_columns(source, names)
    return rows


def _saved(source: str, path: Path, split: str) -> Iterable[Row]:
    datasets = _package(source)
    try:
        data = datasets.load_from_disk(path)
    except Exception as error:  # anything may lie in the folder
        raise Invalid("dataset", source, f"a folder that `datasets` has saved ({_reason(error)})") from None
    if not isinstance(data, datasets.DatasetDict):
        _require_whole(source, split)
        return _table(source, data)
    require(split in data, "dataset", f"{source}, split {split}", f"one of its splits: {', '.join(map(str, data))}")
    return _table(source, data[split])


def _hub(source: str, split: str) -> Iterable[Row]:
    allowed = "an existing file or folder, or a dataset of the hub"
    require(re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", source), "dataset", source, allowed)
    datasets = _package(source)
    try:
        data = datasets.load_dataset(source, split=split)
    except Exception as error:  # of the network, the hub, or the files there
        raise Invalid("dataset", f"{source}, split {split}", f"{allowed} ({_reason(error)})") from None
    return _table(source, data)


def _package(source: str) -> ModuleType:
    try:
        import datasets
    except ImportError:
        allowed = "a file .jsonl or .parquet; folders and datasets of the hub need pip install 'simlab[lm]'"
        raise Invalid("dataset", source, allowed) from None
    return datasets


def _table(source: str, data: Any) -> Iterator[Row]:
    """The rows of a `datasets.Dataset`, as Python objects whatever format was saved with it."""
    _require_columns(source, data.column_names)
    try:
        yield from data.with_format(None).select_columns(_known(data.column_names))
    except Exception as error:  # of files that are not whole
        raise Invalid("dataset", source, f"a readable table ({_reason(error)})") from None


def _known(names: Iterable[str]) -> list[str]:
    return [name for name in names if name in COLUMNS]


def _require_columns(source: str, names: list[str]) -> None:
    require(_known(names), "dataset", source, f"a table with prompt, or with prompt, chosen and rejected ({_there(names)})")


def _require_whole(source: str, split: str) -> None:
    require(split == "train", "dataset", f"{source}, split {split}", "split train, the only one there is")


def _there(names: Iterable[str]) -> str:
    return f"there are {shown(list(map(repr, names)))}"


def _reason(error: Exception) -> str:
    return shown(error) or type(error).__name__


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line.rstrip().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _Malformed(f"byte {error.start + 1} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _Malformed(f"{error.msg}: column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # too many digits, too many brackets
        raise _Malformed(_reason(error)) from None


def _example(number: int, row: object) -> Example:
    if not isinstance(row, dict):
        raise _Malformed(f"it is of type {type(row).__name__}")
    prompt, chosen, rejected = (_content(key, row.get(key)) for key in COLUMNS)
    if prompt is None and chosen is None and rejected is None:
        raise _Malformed(f"prompt is missing, {_there(row)}")
    if chosen is None or rejected is None:
        if chosen is not rejected:
            raise _Malformed("rejected without chosen" if chosen is None else "chosen without rejected")
        return Example(number, _checked(prompt))
    if any(isinstance(part, tuple) for part in (prompt, chosen, rejected)):
        prompt, chosen, rejected = _conversation(prompt, _turns("assistant", chosen), _turns("assistant", rejected))
    if chosen == rejected:
        raise _Malformed("chosen and rejected are the same")
    return Example(number, _checked(prompt), _answer("chosen", chosen), _answer("rejected", rejected))


def _content(key: str, value: object) -> Content | None:
    if isinstance(value, list):
        return tuple(_turn(f"{key}, turn {place}", turn) for place, turn in enumerate(value, 1))
    if value is not None and not isinstance(value, str):
        raise _Malformed(f"{key} is of type {type(value).__name__}, neither text nor a conversation")
    return value if value is None else _text(key, value)


def _turn(place: str, turn: object) -> Message:
    if not isinstance(turn, dict):
        raise _Malformed(f"{place} is of type {type(turn).__name__}, not an object with role and content")
    for key in ("role", "content"):
        if not isinstance(turn.get(key), str):
            raise _Malformed(f"{place} has no text as {key}")
    return {key: _text(place, turn[key]) for key in ("role", "content")}


def _text(place: str, text: str) -> str:
    if re.search("[\ud800-\udfff]", text):
        raise _Malformed(f"{place} has half of a surrogate pair, which no UTF-8 text has")
    return text


def _turns(role: str, content: Content) -> tuple[Message, ...]:
    return ({"role": role, "content": content},) if isinstance(content, str) else content


def _conversation(prompt: Content | None, *answers: tuple[Message, ...]) -> tuple[tuple[Message, ...], ...]:
    """The prompt, and each answer without it."""
    if prompt is None:
        asked = tuple(turn for turn, other in takewhile(lambda turns: turns[0] == turns[1], zip(*answers, strict=False)))
    else:
        asked = _turns("user", prompt)
    return asked, *(answer[len(asked) :] if answer[: len(asked)] == asked else answer for answer in answers)


def _checked(prompt: Content | None) -> Content:
    """A prompt that somebody can answer."""
    if prompt is None:
        raise _Malformed("prompt is missing")
    if not (prompt if isinstance(prompt, str) else any(turn["content"] for turn in prompt)):
        raise _Malformed("prompt is empty")
    if isinstance(prompt, tuple) and prompt[-1]["role"] == "assistant":
        raise _Malformed("prompt ends with the assistant")
    return prompt


def _answer(key: str, answer: Content) -> Content:
    if isinstance(answer, tuple) and [turn["role"] for turn in answer] != ["assistant"]:
        raise _Malformed(f"{key} is not one turn of the assistant, after the prompt or alone")
    return answer


def _require_alike(first: Example, example: Example) -> None:
    if (first.chosen is None) != (example.chosen is None):
        raise _Malformed(f"chosen and rejected are {'missing' if example.chosen is None else 'there'}, unlike in the first example")
