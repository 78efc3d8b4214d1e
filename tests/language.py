"""Language models of transformers that are tiny, drawn at random, with a tokenizer of one word a token, and datasets for them."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from command import simlab

from envs.game import Game
from envs.sequence import Sequence as Ring
from scaled.engine import Single
from scaled.enumeration import log_policy, responses
from scaled.language_model import LanguageModel
from scaled.network import Network
from scaled.oracles.table import Table
from scaled.processes import Processes
from scaled.prompts import Prompt
from scaled.quiet import quiet
from scaled.rollouts.generate import Generate
from scaled.weights import Full
from simlab.language_training import LanguageTraining

BEGIN, END = 0, 1
LETTERS, ASKED = list("abcdefghijklmnop"), [f"p{number}" for number in range(20)]
WORDS = ["<s>", "</s>", "<unk>", *LETTERS, *ASKED]
"""The vocabulary, in the order of the tokens; there is no padding token."""
A = WORDS.index("a")

QUESTIONS = ["p0 p1", "p2", "<s> p3 <s> p4", "p7 p8 p9"]
"""Prompts of different lengths, with the token in them that places without one are filled with."""
PAIRS = [
    {"prompt": "p0 p1", "chosen": "a b c", "rejected": "d"},
    {"prompt": "p2", "chosen": "e", "rejected": "f g h a"},
    {"prompt": "p3 p4 p5 p6", "chosen": "b b", "rejected": "c d"},
    {"prompt": "p7 p8 p9", "chosen": "h a", "rejected": "g e f"},
    {"prompt": "p1 p0", "chosen": "a", "rejected": "b"},
    {"prompt": "p4", "chosen": "c a d b", "rejected": "e f"},
]

_kept = tempfile.TemporaryDirectory(prefix="simlab-language-")


@cache
def folder(kind: str = "gpt2", width: int = 32, layers: int = 2, seed: int = 0) -> str:
    """Of a model and its tokenizer, for `from_pretrained`; made once, and gone when Python ends."""
    path = Path(_kept.name) / f"{kind}-{width}-{layers}-{seed}"
    with quiet():
        drawn(kind, width, layers, seed).save_pretrained(path)
    tokenizer().save_pretrained(path)
    return str(path)


def tokenizer() -> Any:
    """A word, a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def drawn(kind: str, width: int, layers: int, seed: int) -> Any:
    """A model of transformers whose next token is far from uniform, and depends on all before it: llama, gpt2, or gpt2 with tied words."""
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

    ends = {"bos_token_id": BEGIN, "eos_token_id": END, "tie_word_embeddings": kind == "tied"}
    if kind == "llama":
        heads = {"num_hidden_layers": layers, "num_attention_heads": 2, "num_key_value_heads": 1}
        sizes = {"hidden_size": width, "intermediate_size": 2 * width, "max_position_embeddings": 64}
        config: Any = LlamaConfig(vocab_size=len(WORDS), **sizes, **heads, **ends)
    else:
        config = GPT2Config(vocab_size=len(WORDS), n_positions=64, n_embd=width, n_layer=layers, n_head=2, **ends)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim == 2:
                    weight.normal_(0, width**-0.5)
    return model


def lines(path: Path, rows: Iterable[dict[str, Any] | str]) -> str:
    """A dataset in a file: rows, or prompts alone."""
    path.write_text("".join(json.dumps({"prompt": row} if isinstance(row, str) else row) + "\n" for row in rows))
    return str(path)


@cache
def dataset(what: str = "questions") -> str:
    """`questions`, the first `two` of them, or `pairs`, in a file: the rows above."""
    rows: dict[str, Sequence[Any]] = {"questions": QUESTIONS, "two": QUESTIONS[:2], "pairs": PAIRS}
    return lines(Path(_kept.name) / f"{what}.jsonl", rows[what])


def language_model(**settings: Any) -> LanguageModel:
    """In float64, all weights trained; keys of `LanguageModel` to change that."""
    given: dict[str, Any] = {"model": folder(), "dataset": dataset(), "oracle": None, "rollout": Generate(), "weights": Full()}
    given |= {"engine": Single(), "precision": "float64", "length": 2, "batch": 4, "recompute": False}
    return LanguageModel(**(given | settings))


def network(model: LanguageModel, seed: int = 0) -> Network:
    """Its weights, loaded."""
    return model.load(Processes.joined(), seed)


def every(model: LanguageModel) -> list[tuple[int, ...]]:
    """All responses, enumerated."""
    assert model.allowed is not None
    return responses(model.allowed, model.length)


def rings(model: LanguageModel, net: Network, beta: float = 0.01, index: int = 0) -> list[Game]:
    """A cyclic game for each prompt, whose reference is the model as it stands."""
    assert model.vocabulary is not None
    found = Ring(vocabulary=len(model.vocabulary), length=model.length, contexts=len(model.prompts)).games(beta, seed=0, index=index)
    logs = log_policy(net, model.prompts, every(model), 64)
    return [replace(game, log_reference=log_q) for game, log_q in zip(found, logs, strict=True)]


def judge(games: Sequence[Game]) -> Any:
    """Who knows the games."""
    return Table().open(torch.device("cpu"), games)


def plainly(model: Any, prompt: Prompt, answer: Sequence[int], allowed: Sequence[int] | None = None) -> torch.Tensor:
    """The log-probability of one response by one forward pass of one row, without filling: a sum over its tokens."""
    row = torch.tensor([[*prompt.tokens, *answer]])
    logits = model(input_ids=row, use_cache=False).logits[0, len(prompt.tokens) - 1 : -1]
    if allowed is not None:
        keep = torch.full_like(logits, -torch.inf)
        keep[:, list(allowed)] = 0
        logits = logits + keep
    logs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    return logs[range(len(answer)), list(answer)].sum()


def shaken(net: Network, seed: int = 0, size: float = 0.1) -> Network:
    """With its trained weights moved at random: adapters are idle at the start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return net


@contextmanager
def without_figures() -> Iterator[None]:
    """Runs draw none, which would take longer than they do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LanguageTraining, "keep", lambda self, stored: None)
        yield


def train(*words: object) -> Path:
    """The same as `train_and_draw`, without the figure."""
    with without_figures():
        return train_and_draw(*words)


def train_and_draw(*words: object) -> Path:
    """`simlab train scaled=lm` in this process and folder; returns the file of the rows."""
    before = set(Path().rglob("*.parquet"))
    outcome = simlab("train", "scaled=lm", f"scaled.model={folder(width=16, layers=1)}", "threads=1", *words)
    assert outcome.status == 0 and outcome.err == "", outcome.err
    (path,) = set(Path().rglob("*.parquet")) - before
    return path


def metrics(path: Path) -> list[dict[str, Any]]:
    """What a run told as it went."""
    return [json.loads(line) for line in (path.with_suffix("") / "seed0" / "metrics.jsonl").read_text().splitlines()]


def trained(path: Path) -> Any:
    """The model that a run left, as its users load it, in float64."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    left = path.with_suffix("") / "seed0" / "model"
    assert len(AutoTokenizer.from_pretrained(left)) == len(WORDS)
    return AutoModelForCausalLM.from_pretrained(left, dtype=torch.float64).eval()
