"""Pairwise oracles on real models of a few hundred weights: what they say is what the model says, and P + P' = 1 whatever it is."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from games import uniform
from hydra.utils import get_class, instantiate
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from omegaconf import OmegaConf
from scipy.special import expit

import conf
from envs.invalid import Invalid
from envs.people import People
from scaled.oracles.function import Answers, Function
from scaled.oracles.judge import Judge
from scaled.oracles.population import Population
from scaled.oracles.preference_model import PreferenceModel
from scaled.oracles.reward_model import RewardModel
from scaled.oracles.table import Table
from scaled.prompts import Content, Prompt, Response
from simlab.refusal import explain

pytestmark = pytest.mark.xdist_group("transformers")  # seconds for the import
CPU = torch.device("cpu")
FOLDER = Path(conf.__path__[0]) / "scaled" / "oracle"
WORDS = ["<unk>", "<pad>", "<s>", "</s>", *"abcdefgh", "A", "B", ":", "user", "assistant", "system"]
CHAT = "{{ bos_token }}{% for turn in messages %}{{ turn.role }} : {{ turn.content }} {{ eos_token }} {% endfor %}"
OPENING = "{% if add_generation_prompt %}assistant : {% endif %}"
SIZES = {"vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
PROMPTS = ["a b ", "c d e f g h a b c ", "e "]
ANSWERS = [["a", "b c d e f", "a", "g h"], ["h h", "a b a b", "c", "h h"], ["d e f g", "d", "", "b b"]]
TALK = ({"role": "user", "content": "a b c"}, {"role": "assistant", "content": "d"}, {"role": "user", "content": "e f"})


def prompt(number: int, content: Content) -> Prompt:
    return Prompt(number, content, (1,))


def pool(*texts: str) -> list[Response]:
    return [Response((1,), text) for text in texts]


def ask(judge: Judge, prompts: Sequence[Content] = PROMPTS, answers: Sequence[Sequence[str]] = ANSWERS) -> NDArray:
    """The judge's word, which is complementary whatever it is."""
    found = judge.preferences([prompt(*one) for one in enumerate(prompts)], [pool(*texts) for texts in answers])
    assert found.dtype == torch.float64 and found.device == CPU and not found.requires_grad
    assert_complementary(found)
    for matrix, texts in zip(found, answers, strict=True):
        for i, j in itertools.product(range(len(texts)), repeat=2):
            assert texts[i] != texts[j] or matrix[i, j] == 0.5
    return found.numpy()


def assert_complementary(found: torch.Tensor) -> None:
    assert torch.equal(found + found.transpose(1, 2), torch.ones_like(found))
    assert (found.diagonal(dim1=1, dim2=2) == 0.5).all()
    assert ((found >= 0) & (found <= 1)).all()


def refusal(call: Callable[[], object]) -> str:
    """The line that a call is refused with."""
    with pytest.raises(Invalid) as caught:
        call()
    line = explain(caught.value)
    assert "\n" not in line
    return line


# Tiny models of transformers, written as their users find them.


def write_tokenizer(
    folder: Path, padding: str | None = "<pad>", chat: str | None = None, framed: bool = False, most: int | None = None
) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if framed:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    special |= {"pad_token": padding} if padding else {}
    special |= {"model_max_length": most} if most else {}
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    made.chat_template = chat
    made.save_pretrained(folder)
    return made


def write_model(folder: Path, kind: str, labels: int = 1, head: str = "ForSequenceClassification", seed: int = 0, **options: Any) -> str:
    """A model with weights large enough for all that it reads to matter."""
    import transformers

    torch.manual_seed(seed)
    sizes = SIZES | {"max_position_embeddings": 40, "initializer_range": 0.5, "num_labels": labels} | options
    model = getattr(transformers, kind + head)(getattr(transformers, f"{kind}Config")(**sizes))
    model.save_pretrained(folder)
    return str(folder)


Maker = Callable[..., str]
TOKENIZER_OPTIONS = ("padding", "chat", "framed", "most")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Writes a model and its tokenizer, once for all tests that ask for the same."""
    folders: dict[str, str] = {}

    def make(kind: str, **options: Any) -> str:
        name = f"{kind} {sorted(options.items())}"
        if name not in folders:
            folder = tmp_path_factory.mktemp("model")
            write_tokenizer(folder, **{key: options.pop(key) for key in TOKENIZER_OPTIONS if key in options})
            folders[name] = write_model(folder, kind, **options)
        return folders[name]

    make("Llama")  # the import takes seconds
    return make


@cache
def alone(path: str, kind: str = "AutoModelForSequenceClassification") -> tuple[Any, Any]:
    """Model and tokenizer, read by the test itself."""
    import transformers

    return getattr(transformers, kind).from_pretrained(path), transformers.AutoTokenizer.from_pretrained(path)


@torch.no_grad()
def logits_alone(model: Any, tokens: list[int]) -> NDArray:
    """Of one text, without padding or a mask."""
    return model(input_ids=torch.tensor([tokens])).logits[0].double().numpy()


KINDS = {
    "decoder": ("Llama", {}),
    "decoder with positions": ("GPT2", {}),
    "decoder that knows another padding token": ("Llama", {"pad_token_id": WORDS.index("system")}),
    "decoder, padded with its end token": ("Llama", {"padding": "</s>"}),
    "decoder without a padding token": ("GPT2", {"padding": None}),
    "encoder": ("Bert", {"framed": True}),
    "encoder that counts positions from its padding": ("Roberta", {"framed": True}),
}


@pytest.mark.parametrize("name", KINDS)
class TestRewardModel:
    def test_it_is_bradley_and_terry_on_the_score_of_each_text_alone(self, made: Maker, name: str) -> None:
        kind, options = KINDS[name]
        path = made(kind, **options)
        model, tokenizer = alone(path)
        found = ask(RewardModel(path, scale=0.7, batch=3).open(CPU, None))
        for context, texts in enumerate(ANSWERS):
            rewards = np.array([logits_alone(model, tokenizer(PROMPTS[context] + text)["input_ids"])[0] for text in texts])
            assert np.ptp(rewards) > 0.1
            np.testing.assert_allclose(found[context], expit(0.7 * (rewards[:, None] - rewards)), rtol=1e-4, atol=1e-6)

    def test_company_in_a_batch_changes_nothing(self, made: Maker, name: str) -> None:
        kind, options = KINDS[name]
        path = made(kind, **options)
        together, each = (ask(RewardModel(path, batch=batch).open(CPU, None)) for batch in (64, 1))
        np.testing.assert_allclose(together, each, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("chat", [CHAT + OPENING, CHAT.removeprefix("{{ bos_token }}") + OPENING])
def test_a_conversation_is_scored_as_the_chat_template_writes_it(made: Maker, chat: str) -> None:
    path = made("Llama", chat=chat, framed=True)
    model, tokenizer = alone(path)
    rewards = []
    for text in ANSWERS[0]:
        tokens = tokenizer.apply_chat_template([*TALK, {"role": "assistant", "content": text}], return_dict=False)
        assert tokens.count(tokenizer.bos_token_id) == chat.count("bos_token") and tokens[-1] == tokenizer.eos_token_id
        rewards.append(logits_alone(model, tokens)[0])
    found = ask(RewardModel(path, batch=3).open(CPU, None), [TALK], ANSWERS[:1])
    np.testing.assert_allclose(found[0], expit(np.subtract.outer(rewards, rewards)), rtol=1e-4, atol=1e-6)
    path = made("Llama")
    judge = RewardModel(path).open(CPU, None)
    line = refusal(lambda: ask(judge, ["a", TALK], [["a", "b"]] * 2))
    assert line == f"model={path}: must be a model whose tokenizer has a chat template, for the conversation of prompt 1"


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_a_preference_model_is_asked_in_both_orders_which_are_averaged_in_logits(made: Maker, name: str, labels: int) -> None:
    kind, options = KINDS[name]
    path = made(kind, labels=labels, **options)
    model, tokenizer = alone(path)

    def odds(*words: str) -> float:
        logits = logits_alone(model, tokenizer("{} A : {} B : {}".format(*words))["input_ids"])
        return logits[0] if labels == 1 else logits[0] - logits[1]

    found = ask(PreferenceModel(path, template="{prompt} A : {first} B : {second}", batch=5).open(CPU, None))
    bias = []
    for context, texts in enumerate(ANSWERS):
        for (i, first), (j, second) in itertools.permutations(enumerate(texts), 2):
            there, back = odds(PROMPTS[context], first, second), odds(PROMPTS[context], second, first)
            np.testing.assert_allclose(found[context, i, j], expit((there - back) / 2), rtol=1e-4, atol=1e-6)
            bias.append(abs((expit(there) + expit(-back)) / 2 - found[context, i, j]))
    assert max(bias) > 1e-3, "an average of probabilities is another number"


def test_only_distinct_pairs_are_run_and_each_in_both_orders(made: Maker) -> None:
    judge = PreferenceModel(made("Llama"), batch=4).open(CPU, None)
    read: list[list[int]] = []
    outputs = judge.reader.outputs
    object.__setattr__(judge.reader, "outputs", lambda texts: (read.extend(texts), outputs(texts))[1])
    ask(judge, ["a"], [["a", "b", "a", "c", "b"]])
    assert len(read) == 6 and len(set(map(tuple, read))) == 6
    assert len({tuple(sorted(text)) for text in read}) == 3


@pytest.mark.parametrize(
    ("chat", "written"),
    [
        (None, "user: a b c\nassistant: d\nuser: e f"),
        (CHAT + OPENING, "<s>user : a b c </s> assistant : d </s> user : e f </s> "),
    ],
)
def test_a_preference_model_reads_a_conversation_in_its_template(made: Maker, chat: str | None, written: str) -> None:
    path = made("Llama", chat=chat, framed=True)
    model, tokenizer = alone(path)

    def odds(first: str, second: str) -> float:
        tokens = tokenizer(f"{written}\n\nA: {first}\n\nB: {second}", add_special_tokens=chat is None)["input_ids"]
        assert tokens[:2].count(tokenizer.bos_token_id) == 1
        return logits_alone(model, tokens)[0]

    (found,) = ask(PreferenceModel(path).open(CPU, None), [TALK], [["a", "b c"]])
    assert found[0, 1] == pytest.approx(expit((odds("a", "b c") - odds("b c", "a")) / 2), rel=1e-4)


def test_braces_in_a_text_are_text(made: Maker) -> None:
    judge = PreferenceModel(made("Llama"), template="{{}} {prompt} {first} {second}").open(CPU, None)
    ask(judge, ["{prompt} {x}"], [["{", "{first}", "}{"]])


# People, and the files that they are kept in.


def write_crowd(path: Path, seed: int = 0, users: int = 5, space: int = 16, **changes: Any) -> dict[str, NDArray]:
    rng = np.random.default_rng(seed)
    arrays = {"prototypes": rng.normal(size=(3, space)), "weights": rng.dirichlet(np.ones(3), size=users)} | changes
    arrays = {key: value for key, value in arrays.items() if value is not None}
    np.savez(path, **arrays)
    return arrays


@torch.no_grad()
def features_alone(path: str, context: Content, text: str) -> NDArray:
    """The mean of the last hidden states of a response's tokens, one text at a time."""
    model, tokenizer = alone(path, "AutoModel")
    if isinstance(context, str):
        before = [token for token in tokenizer(context)["input_ids"] if token != tokenizer.eos_token_id]
    else:
        before = tokenizer.apply_chat_template(list(context), add_generation_prompt=True, return_dict=False)
    after = tokenizer(text, add_special_tokens=False)["input_ids"]
    hidden = model(input_ids=torch.tensor([before + after])).last_hidden_state[0]
    return hidden[-len(after) :].mean(0).double().numpy() if after else hidden[-1].double().numpy()


ENCODERS = {
    "encoder": ("Bert", {"framed": True, "head": "Model"}),
    "encoder that counts positions from its padding": ("Roberta", {"framed": True, "head": "Model"}),
    "encoder of a masked language model, without its pooler": ("Bert", {"framed": True, "head": "ForMaskedLM"}),
    "causal language model": ("Llama", {"head": "ForCausalLM"}),
    "language model without a padding token": ("GPT2", {"head": "LMHeadModel", "padding": None}),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_population_is_that_of_people_on_the_features_of_responses(made: Maker, tmp_path: Path, name: str) -> None:
    kind, options = ENCODERS[name]
    path, file = made(kind, **options), tmp_path / "crowd.npz"
    projection, shares = np.random.default_rng(1).normal(size=(16, 4)) / 4, np.array([0.4, 0.3, 0.2, 0.1, 0.0])
    for changes in ({}, {"shares": shares}, {"space": 4, "projection": projection}):
        crowd = write_crowd(file, **changes)
        for batch in (1, 32):
            found = ask(Population(file, path, temperature=3.0, batch=batch).open(CPU, None))
            for context, texts in enumerate(ANSWERS):
                items = np.stack([features_alone(path, PROMPTS[context], text) for text in texts])
                items = items @ projection if "projection" in changes else items
                people = People(items[None], crowd["prototypes"], crowd["weights"], temperature=3.0)
                wanted = np.tensordot(changes.get("shares", np.full(5, 0.2)), people.preferences(0), 1)
                assert np.ptp(wanted) > 0.05
                np.testing.assert_allclose(found[context], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chat", [CHAT + OPENING, CHAT.removeprefix("{{ bos_token }}") + OPENING])
def test_a_conversation_is_read_up_to_the_opening_of_the_answer(made: Maker, tmp_path: Path, chat: str) -> None:
    path, texts = made("Llama", head="ForCausalLM", chat=chat, framed=True), ["a b", "g"]
    crowd = write_crowd(tmp_path / "crowd.npz")
    people = People(np.stack([features_alone(path, TALK, text) for text in texts])[None], crowd["prototypes"], crowd["weights"])
    (found,) = ask(Population(tmp_path / "crowd.npz", path).open(CPU, None), [TALK], [texts])
    np.testing.assert_allclose(found, people.preference(0), rtol=1e-4, atol=1e-6)
    plain, lines = made("Llama", head="ForCausalLM"), "user: a b c\nassistant: d\nuser: e f"
    judge = Population(tmp_path / "crowd.npz", plain).open(CPU, None)
    np.testing.assert_array_equal(ask(judge, [TALK], [texts]), ask(judge, [lines], [texts]))


def test_users_may_stand_outside_the_simplex_and_be_written_in_single_precision(made: Maker, tmp_path: Path) -> None:
    weights = np.array([[1.5, -0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]], dtype=np.float32)
    crowd = write_crowd(tmp_path / "crowd.npz", weights=weights, shares=np.array([1, 2], dtype=np.float32) / 3)
    path = made("Llama", head="ForCausalLM")
    (found,) = ask(Population(tmp_path / "crowd.npz", path).open(CPU, None), ["a"], [["b", "c d"]])
    items = np.stack([features_alone(path, "a", text) for text in ("b", "c d")])
    away = [((items - point) ** 2).sum(1) for point in weights.astype(float) @ crowd["prototypes"]]
    assert found[0, 1] == pytest.approx(expit(away[0][1] - away[0][0]) / 3 + 2 * expit(away[1][1] - away[1][0]) / 3, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": None}, "must be a file with weights: it holds prototypes"),
        ({"prototypes": None, "weights": None, "share": [1.0]}, "must be a file with prototypes and weights: it holds share"),
        ({"share": np.ones(5) / 5}, ": share: must be a file of prototypes, weights, shares, projection alone"),
        ({"prototypes": np.ones(3)}, ": prototypes of shape (3,): must be a file with prototypes of shape (M, D)"),
        ({"weights": np.ones((5, 2)) / 2}, ": weights of shape (5, 2): must be a file with weights of shape (U, 3)"),
        ({"weights": np.ones((0, 3))}, ": weights of shape (0, 3): must be a file with weights of shape (U, 3)"),
        ({"weights": np.ones((5, 3)) / 2}, ": weights of shape (5, 3): must be a file with weights whose rows sum to 1"),
        ({"shares": np.ones(4) / 4}, ": shares of shape (4,): must be a file with shares of shape (5,), one of each user"),
        ({"shares": np.array([2.0, -1, 0, 0, 0])}, ": must be a file with shares that are nonnegative and sum to 1"),
        ({"shares": np.ones(5)}, ": must be a file with shares that are nonnegative and sum to 1"),
        ({"projection": np.ones((16, 3))}, ": projection of shape (16, 3): must be a file with projection of shape (H, 16)"),
        ({"projection": np.ones((4, 16))}, ": projection for features of 4 numbers: must be a file for the encoder's features of 16"),
        ({"space": 4}, ": prototypes for features of 4 numbers: must be a file for the encoder's features of 16"),
        ({"prototypes": np.full((3, 16), np.nan)}, ": prototypes of type float64: must be a file whose prototypes are finite numbers"),
        ({"weights": np.array([["a"]])}, ": must be a file whose weights are finite numbers"),
        ({"weights": np.array([[None]])}, ": must be an .npz file that can be read (Object arrays cannot be loaded"),
    ],
)
def test_what_is_wrong_with_a_crowd_is_said_in_a_line(made: Maker, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_crowd(tmp_path / "crowd.npz", **changes)
    line = refusal(lambda: Population(tmp_path / "crowd.npz", made("Llama", head="ForCausalLM")).open(CPU, None))
    assert line.startswith(f"path={tmp_path}/crowd.npz") and said in line


@pytest.mark.parametrize("content", [None, b"", b"PK nonsense", "half"])
def test_a_crowd_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "crowd.npz"
    if content == "half":
        write_crowd(path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    if isinstance(content, bytes):
        path.write_bytes(content)
    line = refusal(lambda: Population(path, "/nowhere").open(CPU, None))
    assert line.startswith(f"path={path}: must be an .npz file that can be read (")


# Functions.


def judge_of(function: Callable) -> Answers:
    return Answers("mine", function)


@given(st.data(), st.integers(1, 3), st.integers(1, 4))
def test_any_function_makes_complementary_preferences(data: st.DataObject, contexts: int, count: int) -> None:
    share = st.one_of(st.sampled_from([0, 1, True, 0.5, 1e-300, 5e-324, 1 - 2**-53]), st.floats(0, 1))
    texts = st.lists(st.sampled_from(["", "a", "b", "a b", "ä"]), min_size=count, max_size=count)
    answers = data.draw(st.lists(texts, min_size=contexts, max_size=contexts))
    said: dict[tuple, float] = {}

    def any_function(prompts: list, first: list, second: list) -> list:
        assert len(prompts) == len(first) == len(second) > 0
        return [said.setdefault(key, data.draw(share)) for key in zip(prompts, first, second, strict=True)]

    found = ask(judge_of(any_function), [str(context) for context in range(contexts)], answers)
    for context, pool_texts in enumerate(answers):
        for (i, one), (j, two) in itertools.permutations(enumerate(pool_texts), 2):
            if one != two:
                there, back = said[str(context), one, two], said[str(context), two, one]
                assert found[context, i, j] == pytest.approx((there + (1 - back)) / 2, rel=1e-12, abs=1e-15)
    assert len(said) == sum(len(set(texts)) * (len(set(texts)) - 1) for texts in answers)


def longer(prompts: Sequence[Content], first: Sequence[str], second: Sequence[str]) -> list[float]:
    """For `package.module:name`."""
    return [float(expit(len(one) - len(two))) for one, two in zip(first, second, strict=True)]


def test_a_function_is_imported_from_a_module_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n\n"
        "@dataclass\nclass Rule:\n    rate: ClassVar[float] = 1.0\n    scale: float = 1.0\n"
        "    def __call__(self, prompts, first, second):\n"
        "        import numpy\n        return numpy.array([len(a) > len(b) for a, b in zip(first, second)])\n\nrule = Rule()\n"
    )
    wanted = np.array([[len(one) - len(two) for two in ANSWERS[0]] for one in ANSWERS[0]])
    found = ask(Function(f"{__name__}:longer").open(CPU, None))
    np.testing.assert_allclose(found[0], expit(wanted), rtol=1e-12)
    monkeypatch.chdir(tmp_path)
    for written in ("mine.py:rule", f"{tmp_path}/mine.py:rule"):
        np.testing.assert_array_equal(ask(Function(written).open(CPU, None))[0], (1 + np.sign(wanted)) / 2)


def test_a_function_sees_prompts_as_they_are() -> None:
    seen = []
    ask(judge_of(lambda prompts, first, second: [seen.append(each) or 0.5 for each in prompts]), [TALK, "a"], [["a", "b"]] * 2)
    assert seen.count(TALK) == seen.count("a") == 2


def test_tensors_and_arrays_are_answers() -> None:
    for kind in (torch.tensor, np.float32, tuple, iter, lambda found: [torch.tensor(one) for one in found]):
        found = ask(judge_of(lambda prompts, first, second, kind=kind: kind([0.25] * len(first))), ["a"], [["a", "b"]])
        assert (found == 0.5).all()


BAD_ANSWERS = {
    "mine: 1.5 for prompt 0, responses 0 and 1: must be a function that gives probabilities in [0, 1]": lambda *asked: [1.5, -1],
    "mine: -0.1 for prompt 0, responses 1 and 0: must be a function that gives": lambda *asked: [0.5, -0.1],
    "mine: nan for prompt 0, responses 0 and 1: must be a function that gives": lambda *asked: [math.nan, 1],
    "mine: '0.5' for prompt 0, responses 0 and 1: must be a function that gives": lambda *asked: ["0.5", 1],
    "mine: None for prompt 0, responses 0 and 1: must be a function that gives": lambda *asked: [None, 1],
    "mine: [0.5] for prompt 0, responses 0 and 1: must be a function that gives": lambda *asked: [[0.5], 1],
    "mine: 1 answers: must be a function that gives one for each of 2 pairs": lambda *asked: [1],
    "mine: 3 answers: must be a function that gives one for each of 2 pairs": lambda *asked: [1, 1, 1],
    "mine: must be a function that answers every pair (TypeError: 'float' object is not iterable)": lambda *asked: 0.5,
    "mine: must be a function that answers every pair (ZeroDivisionError: division by zero)": lambda *asked: 1 / 0,
    "mine: must be a function that answers every pair (KeyError: 'line one line two')": lambda *asked: {}["line one line two"],
}


@pytest.mark.parametrize("said", BAD_ANSWERS)
def test_bad_answers_are_named(said: str) -> None:
    line = refusal(lambda: ask(judge_of(BAD_ANSWERS[said]), ["a"], [["a", "b", "a"]]))
    assert line.startswith(f"function={said}")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "must be written package.module:name or folder/file.py:name"),
        ("json", "must be written package.module:name"),
        (":dumps", "must be written package.module:name"),
        ("json:", "must be written package.module:name"),
        ("json:a b", "must be written package.module:name"),
        (3, "must be written package.module:name"),
        ("no_such_package.x:f", "must be a function that can be imported (ModuleNotFoundError: No module named 'no_such_package')"),
        ("json:nothing", "must be a function that can be imported (AttributeError: module 'json' has no attribute 'nothing')"),
        ("json:__name__", "must be a function: this is a str"),
        ("nowhere/none.py:f", "must be a function that can be imported (FileNotFoundError: "),
        ("broken.py:f", "must be a function that can be imported (SyntaxError: "),
        ("raising.py:f", "must be a function that can be imported (ValueError: on two)"),
    ],
)
def test_a_function_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Any, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "raising.py").write_text("raise ValueError('on two\\nlines')\n")
    assert refusal(lambda: Function(written).open(CPU, None)).startswith(f"function={written}: {said}")


# Games.


def test_a_table_is_the_prompts_own_game_at_the_responses_numbers() -> None:
    games = [uniform(5, seed) for seed in range(4)]
    numbers = np.array([[3, 1, 1], [0, 4, 2]])
    responses = [[Response((1,), "same", number) for number in row.tolist()] for row in numbers]
    found = Table().open(CPU, games).preferences([prompt(2, "x"), prompt(0, "y")], responses)
    assert_complementary(found)
    for place, game in enumerate((games[2], games[0])):
        np.testing.assert_allclose(found[place], game.preference[numbers[place]][:, numbers[place]], rtol=0, atol=1e-15)
    assert found[0, 1, 2] == 0.5


def test_a_table_needs_games_and_numbers() -> None:
    assert refusal(lambda: Table().open(CPU, None)).startswith("oracle=table: must be another where responses are not enumerated")
    judge = Table().open(CPU, [uniform(3, 0)])
    assert refusal(lambda: judge.preferences([prompt(1, "a")], [pool("a")])) == "prompt=1: must be one of the 1 that have a game, 0 to 0"
    for number, shown in ((None, "null"), (3, "3"), (-1, "-1")):
        line = refusal(lambda number=number: judge.preferences([prompt(0, "a")], [[Response((1,), "a", number)]]))
        assert line == f"response={shown}: must be numbered from 0 to 2, as in the game of prompt 0"


# What all models have in common.

MODELS = {
    "reward_model": lambda path, **options: RewardModel(path, **options),
    "preference_model": lambda path, **options: PreferenceModel(path, template="{prompt} {first} {second}", **options),
    "population": lambda path, **options: Population(Path(path) / "crowd.npz", path, **options),
}
READ_BY = {"reward_model": {}, "preference_model": {}, "population": {"head": "Model"}}


def with_crowd(path: str) -> str:
    write_crowd(Path(path) / "crowd.npz")
    return path


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("kind", "most", "context"), [("GPT2", None, 40), ("Llama", None, 40), ("Llama", 7, 7), ("Roberta", None, 38)])
def test_what_is_longer_than_the_context_is_refused_and_not_cut(made: Maker, name: str, kind: str, most: int | None, context: int) -> None:
    path = with_crowd(made(kind, most=most, **READ_BY[name]))
    judge = MODELS[name](path).open(CPU, None)
    key, which, answer = ("model", "responses 0 and 2", 3) if name == "preference_model" else ("model", "response 2", 2)
    key = "encoder" if name == "population" else key
    asked = ["a ", "b " * (context - answer)]
    ask(judge, asked, [["a", "b", "c d"]] * 2)
    line = refusal(lambda: ask(judge, asked, [["a", "b", "c d e"]] * 2))
    said = f"{key}={path}, prompt 1, {which}: {context + 1} tokens: must be asked about texts of at least 1 token, at most {context}"
    assert line.startswith(said)


@pytest.mark.parametrize("name", MODELS)
def test_numbers_that_are_not_finite_are_refused(made: Maker, tmp_path: Path, name: str) -> None:
    path = write_model(tmp_path, "Llama", **READ_BY[name])
    write_tokenizer(tmp_path)
    judge = MODELS[name](with_crowd(path)).open(CPU, None)
    with torch.no_grad():
        judge.reader.model.get_input_embeddings().weight[WORDS.index("g")] = torch.nan
    ask(judge, ["a "], [["a", "b"]])
    line = refusal(lambda: ask(judge, ["a ", "b "], [["a", "b", "c"], ["a", "a", "g"]]))
    which = "responses 0 and 2" if name == "preference_model" else "response 2"
    key = "encoder" if name == "population" else "model"
    assert re.match(rf"{key}={path}, prompt 1, {which}: \w+ .*nan.*: must be a model of finite \w+$", line)


@pytest.mark.parametrize("name", MODELS)
def test_models_are_read_in_their_own_type_or_in_the_one_asked_for(made: Maker, tmp_path: Path, name: str) -> None:
    import transformers

    path = with_crowd(made("Llama", **READ_BY[name]))
    kind = transformers.AutoModel if name == "population" else transformers.AutoModelForSequenceClassification
    kind.from_pretrained(path, dtype=torch.bfloat16).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(path).save_pretrained(tmp_path)
    half = with_crowd(str(tmp_path))
    for source, dtype, wanted in (
        (path, "auto", torch.float32),
        (half, "auto", torch.bfloat16),
        (half, "float32", torch.float32),
        (path, "bfloat16", torch.bfloat16),
    ):
        judge = MODELS[name](source, dtype=dtype).open(CPU, None)
        assert {weight.dtype for weight in judge.reader.model.parameters()} == {wanted}
        assert not judge.reader.model.training and not any(weight.requires_grad for weight in judge.reader.model.parameters())
        ask(judge)


@pytest.mark.parametrize("name", MODELS)
def test_models_that_cannot_be_read_are_refused_in_silence(made: Maker, tmp_path: Path, name: str, capfd: pytest.CaptureFixture) -> None:
    key = "encoder" if name == "population" else "model"
    right = made("Llama", **READ_BY[name])
    for broken in ("config.json", "model.safetensors", "tokenizer.json"):
        folder = tmp_path / broken
        folder.mkdir()
        for file in Path(right).iterdir():
            content = file.read_bytes()
            (folder / file.name).write_bytes(content[: len(content) // 2] if file.name == broken else content)
    (tmp_path / "empty").mkdir()
    capfd.readouterr()
    for path in [
        tmp_path / "config.json",
        tmp_path / "model.safetensors",
        tmp_path / "tokenizer.json",
        tmp_path / "empty",
        tmp_path / "none",
    ]:
        write_crowd(tmp_path / "crowd.npz")
        oracle = MODELS[name](str(path))
        oracle = dataclasses.replace(oracle, path=tmp_path / "crowd.npz") if name == "population" else oracle
        line = refusal(lambda oracle=oracle: oracle.open(CPU, None))
        assert line.startswith(f"{key}={path}: must be a model that transformers can read (")
    line = refusal(lambda: MODELS[name](f"{right}/config.json").open(CPU, None)) if name != "population" else ""
    assert name == "population" or line == f"model={right}/config.json: must be a model's folder, not a file"
    ask(MODELS[name](with_crowd(right)).open(CPU, None))
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == 0


@pytest.mark.parametrize("name", ["reward_model", "preference_model"])
def test_weights_are_never_drawn_at_random(made: Maker, name: str, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made("Llama", head="ForCausalLM")
    logged: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = logged.append
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [handler])
    capfd.readouterr()
    line = refusal(lambda: MODELS[name](path).open(CPU, None))
    assert not logged
    assert line.startswith(f"model={path}: must be a model saved with all its weights") and "score.weight would be drawn at random" in line
    assert capfd.readouterr() == ("", "")


def test_other_kinds_of_models_are_refused(made: Maker, tmp_path: Path) -> None:
    three = made("Llama", labels=3)
    assert (
        refusal(lambda: RewardModel(three).open(CPU, None))
        == f"model={three}, of 3 labels: must be a reward model: a classifier of 1 label"
    )
    assert "must be a preference model: a classifier of 1 label, or of 2" in refusal(lambda: PreferenceModel(three).open(CPU, None))
    both = write_model(tmp_path, "T5", head="Model", d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    write_tokenizer(tmp_path)
    assert "must be an encoder or a decoder" in refusal(lambda: MODELS["population"](with_crowd(both)).open(CPU, None))


def test_a_chat_template_that_refuses_a_conversation_is_quoted(made: Maker) -> None:
    path = made("Llama", chat="{{ raise_exception('no turns of the assistant in front') }}")
    line = refusal(lambda: ask(PreferenceModel(path).open(CPU, None), ["a", TALK], [["a", "b"]] * 2))
    assert line.startswith(f"model={path}, prompt 1: must be a model whose chat template takes the conversation (")
    assert "no turns of the assistant in front" in line


def test_a_chat_template_has_no_clock(made: Maker) -> None:
    path = made("Llama", chat="{{ strftime_now('%d %b %Y') }} " + CHAT)
    judge = RewardModel(path).open(CPU, None)
    assert judge.reader.written(prompt(0, TALK)).startswith("26 Jul 2024 <s>user")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RewardModel(""), "model=: must be a model: its folder, or its name on the hub"),
        (lambda: RewardModel(3), "model=3: must be a model: its folder, or its name on the hub"),
        (lambda: RewardModel("x", scale=0), "scale=0: must be a finite number > 0"),
        (lambda: RewardModel("x", scale=math.inf), "scale=inf: must be a finite number > 0"),
        (lambda: RewardModel("x", batch=0), "batch=0: must be an integer >= 1"),
        (lambda: RewardModel("x", dtype="float16"), "dtype=float16: must be one of auto, float32, bfloat16"),
        (
            lambda: PreferenceModel("x", template="{prompt} {first}"),
            "template={prompt} {first}: must be a text with {prompt}, {first} and {second}",
        ),
        (lambda: PreferenceModel("x", template="{prompt} {first} {second} {third}"), "template="),
        (lambda: PreferenceModel("x", template="{prompt} {first} {second} {}"), "template="),
        (lambda: PreferenceModel("x", template="{prompt} {first} {second!r}"), "template="),
        (lambda: PreferenceModel("x", template="{prompt} {first} {second:>3}"), "template="),
        (lambda: PreferenceModel("x", template="{prompt.content} {first} {second}"), "template="),
        (lambda: PreferenceModel("x", template="{prompt} {first} {second"), "template="),
        (lambda: PreferenceModel("x", template=3), "template=3: must be a text"),
        (lambda: PreferenceModel("x", batch=True), "batch=true: must be an integer >= 1"),
        (lambda: Population("", "x"), "path=: must be the path of an .npz file"),
        (lambda: Population("x", None), "encoder=null: must be a model"),
        (lambda: Population("x", "y", temperature=0), "temperature=0: must be a finite number > 0"),
        (lambda: Population("x", "y", batch=1.0), "batch=1.0: must be an integer >= 1"),
    ],
)
def test_wrong_values_are_refused_before_any_work(make: Callable[[], object], said: str) -> None:
    assert refusal(make).startswith(said)


# The files of conf/scaled/oracle.


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_file_makes_its_class_with_the_defaults_of_the_class(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    config = OmegaConf.load(path)
    oracle = get_class(config.pop("_target_"))
    assert oracle.__module__ == f"scaled.oracles.{path.stem}"
    fields = {field.name: field.default for field in dataclasses.fields(oracle)}
    written = OmegaConf.to_container(config)
    assert list(written) == list(fields)
    for key, default in fields.items():
        assert written[key] == ("???" if default is dataclasses.MISSING else default)
        assert lines[[line.split(":")[0] for line in lines].index(key) - 1].startswith("# ")
    given_values = {key: "json:dumps" for key, value in written.items() if value == "???"}
    made = instantiate(OmegaConf.merge(OmegaConf.load(path), given_values), _convert_="all")
    assert made == oracle(**given_values) and made.enumerable == (path.stem == "table")
