"""Models of transformers that read texts for an oracle: in batches, without gradients, in their own precision.

A batch is padded on the right under an attention mask, so that a text's score is the same alone and beside longer ones, up to the
rounding of the model's dtype; where the tokenizer has no padding token, texts are read one at a time. Nothing is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.invalid import Invalid, require
from scaled.encoding import CLOCK
from scaled.prompts import Message, Prompt
from simlab.refusal import sentence


@dataclass(frozen=True, eq=False)
class Reader:
    """A model and its tokenizer.

    Parameters
    ----------
    key : the configuration key that named it, for errors
    path : where it was read from
    model, tokenizer : of transformers
    batch : texts at a time
    padding : the token that fills up, or None: one text at a time
    context : most tokens of a text, or None: any number
    """

    key: str
    path: str
    model: Any
    tokenizer: Any
    batch: int
    padding: int | None
    context: int | None

    def tokens(self, text: str, special: bool = True, closed: bool = True) -> list[int]:
        """Those of a text.

        Parameters
        ----------
        text : a whole text, or the part of one
        special : whether with what the tokenizer puts around a text, unless it begins with the beginning token already
        closed : whether also with what the tokenizer puts after it
        """
        begun = bool(self.tokenizer.bos_token) and text.startswith(self.tokenizer.bos_token)
        encoded = self.tokenizer(text, add_special_tokens=special and not begun, return_special_tokens_mask=True, verbose=False)
        tokens, added = encoded["input_ids"], encoded["special_tokens_mask"]
        while not closed and tokens and added[len(tokens) - 1]:
            tokens.pop()
        return tokens

    def written(self, prompt: Prompt, answer: str | None = None, opened: bool = False) -> str:
        """A conversation as the tokenizer's chat template writes it, or as lines `role: content` where there is none.

        Parameters
        ----------
        prompt : whose content, as it is where it is plain text
        answer : a last turn of the assistant, if any
        opened : whether the template begins a turn of the assistant at the end
        """
        if isinstance(prompt.content, str):
            return prompt.content + (answer or "")
        turns: list[Message] = [*prompt.content, *([] if answer is None else [{"role": "assistant", "content": answer}])]
        if not self.tokenizer.chat_template:
            return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
        try:
            return self.tokenizer.apply_chat_template(turns, chat_template=self._template, add_generation_prompt=opened, tokenize=False)
        except Exception as error:  # templates raise what they like
            allowed = f"a model whose chat template takes the conversation ({sentence(error)})"
            raise Invalid(self.key, f"{self.path}, prompt {prompt.number}", allowed) from None

    @cached_property
    def _template(self) -> str:
        """The chat template, which takes one day for today, so that a text is the same on all days."""
        template = self.tokenizer.get_chat_template()
        return CLOCK + template if "strftime_now" in template else template

    def require_room(self, tokens: Sequence[int], where: str) -> None:
        """Raise :class:`Invalid` for a text that is longer than the context, or has no token."""
        most = "" if self.context is None else f", at most {self.context}, its context: nothing is cut"
        fits = 1 <= len(tokens) <= (self.context or len(tokens))
        require(fits, self.key, f"{self.path}, {where}: {len(tokens)} tokens", f"asked about texts of at least 1 token{most}")

    def outputs(self, texts: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Any]]:
        """Places of the texts of a batch, and what the model makes of them; texts of like length are read together."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        size = 1 if self.padding is None else self.batch
        for start in range(0, len(order), size):
            places = order[start : start + size]
            yield places, self._output([texts[place] for place in places])

    def logits(self, texts: Sequence[Sequence[int]]) -> NDArray:
        """(texts, labels) of a sequence classifier, as float64."""
        found = np.empty((len(texts), self.model.config.num_labels))
        for places, output in self.outputs(texts):
            found[places] = output.logits.cpu().double().numpy()
        return found

    @torch.no_grad()
    def _output(self, texts: Sequence[Sequence[int]]) -> Any:
        width, filler = max(map(len, texts)), [self.padding or 0]
        tokens = torch.tensor([[*text, *filler * (width - len(text))] for text in texts])
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
        return self.model(input_ids=tokens.to(self.model.device), attention_mask=mask.to(self.model.device))
