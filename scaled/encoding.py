"""Examples as a model reads them: the tokens of prompts, and of the two answers of a pair.

    plain text         prompt = what the tokenizer puts before a text, and the text        answer = the text, and the end token
    a conversation     prompt = the turns and the opening of the assistant's               answer = what that turn adds to them

A conversation is written out by the tokenizer's chat template. Prompt and answer of plain text are tokenized apart and joined: the
tokens of a prompt are the beginning of those of prompt and answer, and no token stretches over the seam. The end token is the
tokenizer's end of sequence; answers in plain text are not closed where there is none. Nothing is cut or padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envs.invalid import Invalid, require
from scaled.prompts import Content, Example, Message, Pair, Prompt
from simlab.refusal import shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CLOCK = (
    "{%- macro strftime_now(format) -%}{{ format | replace('%d', '26') | replace('%m', '07') | replace('%b', 'Jul')"
    " | replace('%B', 'July') | replace('%Y', '2024') }}{%- endmacro +%}"
)
"""What chat templates that write the date take for today, so that a prompt is the same on all days."""


def encode_prompts(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, room: int) -> list[Prompt]:
    """The prompts in tokens: at least one each, and at most `room`.

    Raises
    ------
    Invalid
        With the key `dataset`: for the first line whose prompt has no token or too many, or that the chat template does not take,
        and for a conversation where there is no chat template.
    """
    prompts = []
    for number, example in enumerate(examples):
        prompts.append(_prompt(number, example, tokenizer))
        _require_room(f"line {example.line}", prompts[-1].tokens, room, "the room for a prompt")
    return prompts


def encode_pairs(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, room: int) -> list[Pair]:
    """Prompts and both their answers in tokens: at least one each, and a prompt and an answer together at most `room`.

    An answer stops at its end token, as one that a model draws does: what a chat template writes after it is left out.

    Raises
    ------
    Invalid
        As `encode_prompts`; for a line without answers, or that the chat template writes out so that it does not begin with the prompt.
    """
    return [_pair(_prompt(number, example, tokenizer), example, tokenizer, room) for number, example in enumerate(examples)]


def _pair(prompt: Prompt, example: Example, tokenizer: PreTrainedTokenizerBase, room: int) -> Pair:
    answers = []
    for name, answer in (("chosen", example.chosen), ("rejected", example.rejected)):
        place = f"line {example.line}, {name}"
        if answer is None:
            raise Invalid("dataset", place, "an answer: pairs are learnt from")
        tokens = _closed(answer, tokenizer) if isinstance(answer, str) else _turn(prompt, example.line, answer, tokenizer)
        require(tokens, "dataset", f"{place}: 0 tokens", "an answer of at least one token")
        _require_room(place, prompt.tokens + tokens, room, "prompt and answer together")
        answers.append(tokens)
    return Pair(prompt, *answers)


def _prompt(number: int, example: Example, tokenizer: PreTrainedTokenizerBase) -> Prompt:
    if isinstance(example.prompt, str):
        tokens = _opened(example.prompt, tokenizer)
    else:
        tokens = _tokens(_written(example.line, example.prompt, tokenizer, opening=True), tokenizer)
    require(tokens, "dataset", f"line {example.line}: 0 tokens", "a prompt of at least one token")
    return Prompt(number, example.prompt, tokens)


def _opened(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """A text, with what the tokenizer puts before it and without what it puts after it; nothing for a text without tokens."""
    encoded: Any = tokenizer(text, return_special_tokens_mask=True, verbose=False)
    own = [place for place, added in enumerate(encoded["special_tokens_mask"]) if not added]
    return tuple(encoded["input_ids"][: own[-1] + 1]) if own else ()


def _closed(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    tokens, end = _tokens(text, tokenizer), tokenizer.eos_token_id
    return tokens if end is None or tokens[-1:] == (end,) else (*tokens, end)


def _turn(prompt: Prompt, line: int, answer: tuple[Message, ...], tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What an answer adds to a prompt: in tokens where it adds tokens only, else the text that it adds, tokenized alone."""
    written = _written(line, (*prompt.content, *answer), tokenizer, opening=False)
    tokens, start = _tokens(written, tokenizer), len(prompt.tokens)
    if tokens[:start] == prompt.tokens:
        return _ended(tokens[start:], tokenizer.eos_token_id)
    asked = _written(line, prompt.content, tokenizer, opening=True)
    allowed = f"plain text: the chat template of {_name(tokenizer)} writes its prompt in another way before an answer"
    require(written.startswith(asked), "dataset", f"line {line}, a conversation", allowed)
    return _ended(_tokens(written.removeprefix(asked), tokenizer), tokenizer.eos_token_id)


def _ended(tokens: tuple[int, ...], end: int | None) -> tuple[int, ...]:
    """Tokens up to the last end token, if there is one."""
    return tokens[: len(tokens) - tokens[::-1].index(end)] if end in tokens else tokens


def _written(line: int, turns: Content, tokenizer: PreTrainedTokenizerBase, *, opening: bool) -> str:
    """A conversation as text, with the opening of the assistant's turn or without."""
    value, messages = f"line {line}, a conversation", list[Any](turns)
    require(tokenizer.chat_template, "dataset", value, f"plain text: the tokenizer of {_name(tokenizer)} has no chat template")
    try:
        template = tokenizer.get_chat_template()
        template = CLOCK + template if "strftime_now" in template else template
        written: Any = tokenizer.apply_chat_template(messages, chat_template=template, add_generation_prompt=opening, tokenize=False)
    except Exception as error:  # a template may do anything
        raise Invalid("dataset", value, f"one that the chat template of {_name(tokenizer)} takes ({shown(error)})") from None
    return written


def _tokens(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    encoded: Any = tokenizer(text, add_special_tokens=False, verbose=False)
    return tuple(encoded["input_ids"])


def _name(tokenizer: PreTrainedTokenizerBase) -> str:
    return tokenizer.name_or_path or "the model"


def _require_room(place: str, tokens: Sequence[int], room: int, what: str) -> None:
    require(len(tokens) <= room, "dataset", f"{place}: {len(tokens)} tokens", f"at most {room} tokens, {what}")
