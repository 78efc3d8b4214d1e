"""Models of transformers as they lie in a folder, or on the hub, ready to be read by."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from envs.dials import require_integer
from envs.invalid import Invalid, require
from scaled.oracles.reader import Reader
from simlab.refusal import sentence

DTYPES = ("auto", "float32", "bfloat16")
"""What a model computes in; `auto` is what it was saved in."""


def require_readable(key: str, path: object, batch: object, dtype: object) -> None:
    """Raise :class:`Invalid` for what `load` could not take."""
    require(isinstance(path, str | os.PathLike) and str(path), key, path, "a model: its folder, or its name on the hub")
    require_integer("batch", batch, 1)
    require(dtype in DTYPES, "dtype", dtype, f"one of {', '.join(DTYPES)}")


def load(kind: str, key: str, path: str | os.PathLike[str], batch: int, dtype: str, device: torch.device) -> Reader:
    """Read a model and its tokenizer: a folder, or what a name on the hub stands for.

    Parameters
    ----------
    kind : the class of transformers that reads it, `AutoModel` or another
    key : of the configuration
    path, batch, dtype : as given
    device : where it is to run

    Raises
    ------
    Invalid
        With the key, where it cannot be read, or lacks weights, which would then be drawn at random.
    """
    path = str(path)
    require(not Path(path).is_file(), key, path, "a model's folder, not a file")
    model, tokenizer, missing = _read(kind, key, path, dtype)
    require(not missing, key, path, f"a model saved with all its weights, as {kind}: {', '.join(missing[:3])} would be drawn at random")
    model = model.to(device).eval().requires_grad_(False)
    return Reader(key, path, model, tokenizer, batch, _padding(model, tokenizer), _context(model, tokenizer))


def _read(kind: str, key: str, path: str, dtype: str) -> tuple[Any, Any, list[str]]:
    """Model, tokenizer, and names of the weights that were not there, but for the pooler of an `AutoModel`, which nobody asks."""
    try:
        import transformers
    except ImportError:
        raise Invalid(key, path, "read by transformers: pip install 'simlab[lm]'") from None
    try:
        with _quiet(transformers, path):
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            options = {"dtype": dtype, "trust_remote_code": False, "output_loading_info": True}
            model, info = getattr(transformers, kind).from_pretrained(path, **options)
    except Exception as error:  # files that are damaged, of another kind or not there raise many kinds
        raise Invalid(key, path, f"a model that transformers can read ({sentence(error)})") from None
    return model, tokenizer, sorted(name for name in info["missing_keys"] if kind != "AutoModel" or not name.startswith("pooler."))


def _padding(model: Any, tokenizer: Any) -> int | None:
    """The token to fill up with, of which sequence classifiers must know: they read the last token of a text that is another."""
    if tokenizer.pad_token_id is None:
        return None
    config = model.config.get_text_config()
    if config.pad_token_id is None or config.pad_token_id < 0:
        config.pad_token_id = model.config.pad_token_id = tokenizer.pad_token_id
    return config.pad_token_id


def _context(model: Any, tokenizer: Any) -> int | None:
    limits = [tokenizer.model_max_length, getattr(model.config.get_text_config(), "max_position_embeddings", None)]
    for name, part in model.named_modules():
        if name.endswith("position_embeddings") and getattr(part, "padding_idx", None) is not None:
            limits.append(part.num_embeddings - part.padding_idx - 1)  # RoBERTa and its kin count positions from there
    known = [int(limit) for limit in limits if limit and 0 < limit < 1e9]  # a tokenizer without a limit says 1e30
    return min(known, default=None)


@contextmanager
def _quiet(transformers: Any, path: str) -> Iterator[None]:
    """No notes on what an error says in one line, and no bars but those of a download."""
    bars, before = transformers.utils.logging, logging.root.manager.disable
    hidden = Path(path).is_dir() and bars.is_progress_bar_enabled()
    logging.disable(logging.ERROR)
    if hidden:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        logging.disable(before)
        if hidden:
            bars.enable_progress_bar()
