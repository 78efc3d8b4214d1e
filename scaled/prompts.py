"""What a language model is asked and what it answers: texts beside their tokens."""

from __future__ import annotations

from dataclasses import dataclass

Message = dict[str, str]
"""A turn of a conversation: `role` and `content`."""

Content = str | tuple[Message, ...]
"""Plain text, or a conversation."""


@dataclass(frozen=True)
class Example:
    """A row of a dataset.

    Attributes
    ----------
    line : its line or row, from 1 on
    prompt : what is asked
    chosen, rejected : two answers, the preferred one first; None where the dataset has prompts only
    """

    line: int
    prompt: Content
    chosen: Content | None = None
    rejected: Content | None = None


@dataclass(frozen=True)
class Prompt:
    """A prompt as a model reads it.

    Attributes
    ----------
    number : its place in the dataset, from 0 on
    content : as in the dataset
    tokens : with what a chat template adds
    """

    number: int
    content: Content
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """Two answers to a prompt, of which `chosen` was preferred; each at least one token."""

    prompt: Prompt
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]


@dataclass(frozen=True)
class Response:
    """An answer that was drawn.

    Attributes
    ----------
    tokens : at least one
    text : decoded, without special tokens
    number : of the response, where all responses are enumerated
    """

    tokens: tuple[int, ...]
    text: str
    number: int | None = None
