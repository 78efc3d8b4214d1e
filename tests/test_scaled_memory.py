"""What a run needs: what is counted is what a real run holds, passes make what they make of real tensors, and what is told to fit fits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import get_class, instantiate
from hypothesis import given
from hypothesis import strategies as st
from language import dataset, folder, judge, language_model, lines, network, rings, tokenizer
from omegaconf import OmegaConf
from torch import Tensor

from algorithms.dpo import DPO
from algorithms.egpo import EGPO
from algorithms.tableau import POLICY, REFERENCE, Loop, Stage, Tableau, copy, prox
from envs.feedback import Exact
from envs.invalid import Invalid
from scaled import need as needs
from scaled import passes
from scaled.changes import KINDS
from scaled.engine import DDP, FSDP, Single
from scaled.iteration import carried, slots_that_go_on
from scaled.language_model import LanguageModel
from scaled.memory import GIB, Estimate, available, estimate, require_room, what_would_fit
from scaled.need import Known, Need
from scaled.network import Network
from scaled.oracles.reward_model import RewardModel
from scaled.pair_training import PairPlan, PairTraining
from scaled.passes import Dataless, Rows, Seen
from scaled.processes import Processes
from scaled.prompts import Prompt
from scaled.quiet import quiet
from scaled.rollouts.generate import Generate
from scaled.rollouts.rollout import Question, uniforms
from scaled.self_play import Plan, SelfPlay
from scaled.snapshots import Held, in_self_play, on_pairs
from scaled.trained import Trained
from scaled.watched import Watched
from scaled.weights import Full, LoRA
from simlab.catalogue import CONF
from simlab.configuration import plan as composed
from simlab.members import make
from simlab.refusal import Refused
from simlab.request import parse

pytestmark = pytest.mark.xdist_group("transformers")  # seconds for the import
CPU = Processes(0, 1, torch.device("cpu"))
LORA = LoRA(rank=4, alpha=8.0)
SMALL = {"vocabulary": ["b", "a"], "precision": "float32"}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The numbers are few, and threads wake slowly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plan(tableau: Tableau | None = None, prompts: int = 4, responses: int = 4, steps: int = 3) -> Plan:
    return Plan(tableau or EGPO().tableau(0.1, steps=steps, actions=responses), 0.1, Exact(), prompts, responses, steps, 0)


def on_the_pairs(steps: int = 3, prompts: int = 4) -> PairPlan:
    return PairPlan(DPO(), 0.1, 0.0, False, prompts, steps, 0)


def asked(model: LanguageModel, what: Plan | PairPlan, processes: int = 1) -> Estimate:
    return estimate(model, plan=what, processes=processes, judge=None)


def counted(model: LanguageModel, what: Plan | PairPlan, processes: int = 1, judge: str | None = None) -> Estimate:
    """Where passes play no part: they take seconds."""
    return Need(model, what, processes, judge).counted(Known())


def played(model: LanguageModel, what: Plan) -> SelfPlay:
    net = network(model)
    return SelfPlay(model, net, judge(rings(model, net)), what)


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes of their storages, each once."""
    return sum({id(storage): storage.nbytes() for storage in [tensor.untyped_storage() for tensor in tensors]}.values())


# What is counted.


@pytest.mark.parametrize("weights", [Full(), LORA], ids=["full", "lora"])
@pytest.mark.parametrize(("kind", "precision"), [("gpt2", "float64"), ("llama", "float32"), ("llama", "bfloat16")])
def test_weights_gradients_and_the_optimizer_are_those_of_a_real_run(kind: str, precision: str, weights: Any) -> None:
    model = language_model(model=folder(kind), weights=weights, vocabulary=["b", "a"], precision=precision, inner=1)
    run = played(model, plan(steps=1))
    run.step()
    module = run.network.model
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    frozen = [weight for weight in module.parameters() if not weight.requires_grad]
    state = [value for each in run.trained.optimizer.state.values() for value in each.values() if value.ndim]
    found = counted(model, run.plan)
    for parts in found.moments.values():
        assert parts["frozen weights"] == size([*frozen, *module.buffers()])
        assert parts["trained weights"] == size(trained)
        assert parts["gradients"] == size(weight.grad for weight in trained)
        assert parts["optimizer"] == size(state)
    assert found.parameters == sum(weight.numel() for weight in module.parameters())
    assert found.trained == sum(weight.numel() for weight in trained)


def test_slots_and_tokens_are_told() -> None:
    found = counted(language_model(length=7), plan(prompts=3, responses=5))
    assert found.slots == ("reference", "policy", "half") and set(found.kept) == {"policy", "reference"}
    assert found.tokens == 3 * 5 * (4 + 7), "the longest prompt has four tokens"
    pairs = counted(language_model(dataset=dataset("pairs"), inner=6), on_the_pairs(prompts=3))
    assert pairs.slots == ("policy", "reference")
    assert pairs.tokens == 6 * 3 * 2 * (4 + 5), "the longest answer has four tokens and its end"


def test_the_worst_moment_is_the_whole_need() -> None:
    found = asked(language_model(), plan())
    sums = {moment: sum(parts.values()) for moment, parts in found.moments.items()}
    assert set(sums) == {"drawing", "gradient", "step", "snapshots"}
    assert found.total == max(sums.values()) == sums[found.worst] == sum(found.parts.values())
    assert found.parts[found.largest] == max(found.parts.values())
    assert found.fits(found.total) and not found.fits(found.total - 1)


# Snapshots.


class Witness:
    """Counts what is kept of weights and optimizer states, besides those that are in use, at the moments of a run."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.most: Counter[str] = Counter()
        self.taken: list[weakref.ref[Tensor]] = []
        self.run: Any = None
        self._watch(patched, Generate, "draw", "drawing")
        self._watch(patched, Trained, "move", "moving")
        self._watch(patched, torch.optim.Adam, "load_state_dict", "changing")  # given a copy
        self._watch(patched, Trained, "snapshot", "changing", after=True)

    def _watch(self, patched: pytest.MonkeyPatch, owner: Any, name: str, moment: str, after: bool = False) -> None:
        original = getattr(owner, name)

        def watched(*given: Any) -> Any:
            made = original(*given) if after else None
            self.taken += [weakref.ref(tensor) for tensor in tensors((given, made))]
            if self.run is not None:
                self.most[moment] = max(self.most[moment], self.kept())
            return made if after else original(*given)

        patched.setattr(owner, name, watched)

    def kept(self) -> int:
        """Bytes."""
        net, optimizer = self.run.network, self.run.trained.optimizer
        used = {id(each.untyped_storage()) for each in [*net.model.parameters(), *tensors(dict(optimizer.state))]}
        every = [each for each in [taken() for taken in self.taken] if each is not None and each.ndim]
        return size(each for each in every if id(each.untyped_storage()) not in used)


def tensors(node: Any) -> Iterator[Tensor]:
    """Those in containers of containers."""
    if isinstance(node, Tensor):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        yield from tensors(each)


def held(most: Counter[str]) -> Held:
    return Held(most["drawing"], most["moving"], most["changing"])


def members() -> dict[str, Any]:
    """Configurations of self-play methods."""
    paths = sorted((CONF / "algorithm").glob("*.yaml"))
    found = {path.stem: OmegaConf.load(path) for path in paths}
    return {name: config for name, config in found.items() if hasattr(get_class(config._target_), "tableau")}


MEMBERS = members()
AND_MORE = "a loop that writes the policy before its end"


def towards(slot: str) -> Stage:
    """A step from the one before, and from the slot of an iteration ago."""
    return prox(slot, anchor={"policy": 0.5, "previous": 0.5}, opponent="policy", rate=1.0)


def tableau(name: str, steps: int) -> Tableau:
    """Of a method with its defaults, but for loops, which are short and end by number, and for what happens seldom."""
    if name == AND_MORE:
        return Tableau(Loop((towards("policy"), towards("half"), towards("policy")), times=4), copy("previous", "half"))
    often = {key: 3 for key in ("every",) if key in MEMBERS[name]}
    whole = instantiate(MEMBERS[name], **often).tableau(0.1, steps=steps, actions=4)
    return Tableau(*(replace(loop, times=min(loop.times, 4), tolerance=0.0) for loop in whole.loops), returns=whole.returns)


@pytest.mark.parametrize("name", [*MEMBERS, AND_MORE])
def test_states_that_are_kept_are_those_of_a_real_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    witness = Witness(monkeypatch)
    model = language_model(model=folder(width=16, layers=1), inner=1, learning_rate=0.01, **SMALL)
    run = played(model, plan(tableau(name, 9), prompts=1, steps=9))
    kept = slots_that_go_on(run.plan.tableau.stages, dict.fromkeys([POLICY, REFERENCE, *carried(run.plan.tableau)]))
    assert set(kept) == set(run.weights)
    weights = size(run.network.weights.values())
    witness.run = run
    for steps in range(1, 10):
        run.step()
        assert in_self_play(run.plan.tableau, kept, steps, weights, 2 * weights) == held(witness.most)
    parts = counted(model, run.plan).moments
    assert Held(*(parts[moment]["snapshots"] for moment in ("drawing", "gradient", "snapshots"))) == held(witness.most)


def test_states_that_are_kept_on_pairs_are_those_of_a_real_run(monkeypatch: pytest.MonkeyPatch) -> None:
    witness = Witness(monkeypatch)
    model = language_model(model=folder(width=16, layers=1), dataset=dataset("pairs"), inner=2, precision="float32")
    run = PairTraining(model, network(model), on_the_pairs(steps=4))
    weights = size(run.network.weights.values())
    monkeypatch.setattr(PairTraining, "_descend", seen_first(PairTraining._descend, witness))
    witness.run = run
    for steps in range(1, 5):
        run.step()
        assert on_pairs(steps, weights, 2 * weights) == held(witness.most)
    parts = counted(model, run.plan).moments
    assert "drawing" not in parts
    assert (parts["gradient"]["snapshots"], parts["snapshots"]["snapshots"]) == held(witness.most)[1:]


def seen_first(original: Callable, witness: Witness) -> Callable:
    """With what is kept when a step begins."""

    def seen(*given: Any) -> Any:
        witness.most["moving"] = max(witness.most["moving"], witness.kept())
        return original(*given)

    return seen


# Passes.


def config(kind: str, layers: int, tied: bool = False) -> Any:
    """Of a tiny model, without dropout."""
    from transformers import Gemma3TextConfig, GPT2Config, LlamaConfig, Qwen3Config

    sizes = {"vocab_size": 1000, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": layers, "tie_word_embeddings": tied}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1}
    if kind == "gpt2":
        still = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 1}
        return GPT2Config(vocab_size=1000, n_embd=32, n_layer=layers, n_head=4, n_positions=256, tie_word_embeddings=tied, **still)
    more = {"llama": {}, "qwen3": {"head_dim": 8}, "gemma3": {"head_dim": 8, "sliding_window": 16}}[kind]
    return {"llama": LlamaConfig, "qwen3": Qwen3Config, "gemma3": Gemma3TextConfig}[kind](**sizes, **more)


@dataclass(frozen=True)
class Setting:
    """A model as it is trained."""

    kind: str
    weights: Any
    precision: torch.dtype
    recompute: bool
    layers: int = 2
    tied: bool = False

    def module(self, device: str) -> Any:
        """With random weights, or on the meta device."""
        from transformers import AutoModelForCausalLM

        with quiet(), torch.device(device):
            made = AutoModelForCausalLM.from_config(config(self.kind, self.layers, self.tied), dtype=self.weights.kept_in(self.precision))
            self.weights.prepare(made, 0)
            if self.recompute:
                made.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return made

    def network(self) -> Network:
        """Real."""
        return Network(self.module("cpu"), Single(), CPU, self.precision, None)

    def seen(self, batch: Rows, drawn: Rows | None = None) -> Seen:
        """Without data."""
        return Dataless(self.module("meta"), self.precision, False, None).seen(batch, drawn)


SETTINGS = [
    Setting("llama", Full(), torch.bfloat16, True),
    Setting("llama", LORA, torch.bfloat16, True),
    Setting("llama", LORA, torch.bfloat16, False, tied=True),
    Setting("qwen3", Full(), torch.bfloat16, False, tied=True),
    Setting("qwen3", LORA, torch.float32, True),
    Setting("gpt2", Full(), torch.float32, True),
    Setting("gpt2", Full(), torch.float32, False, tied=True),
    Setting("gpt2", LORA, torch.bfloat16, False),
    Setting("gemma3", Full(), torch.bfloat16, True),
]
ROWS = Rows(4, 24, 16)


def passed(net: Network, rows: Rows = ROWS) -> Callable[[], None]:
    """A gradient batch of such rows on a real network, two rows a prompt; of the second pass on gradients are there."""
    prompts = [Prompt(number, "", (3,) * (rows.prompt - number)) for number in range(rows.number // 2)]
    answers = [[(4,) * rows.width, (5,) * (rows.width - number)] for number in range(rows.number // 2)]

    def batch() -> None:
        with net.passing(last=True):
            net.log_prob(prompts, answers).double().var().backward()

    batch()
    return batch


def watched(net: Network, act: Callable[[], Any]) -> Watched:
    """What it makes of real tensors."""
    module = net.model
    there = [*module.parameters(), *module.buffers(), *(weight.grad for weight in module.parameters() if weight.grad is not None)]
    with Watched(there, module.get_output_embeddings().weight.shape[0]) as seen:
        act()
    seen.turn()
    return seen


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_a_gradient_batch_makes_what_it_makes_of_real_tensors(setting: Setting) -> None:
    net = setting.network()
    (real,) = watched(net, passed(net)).stretches
    assert setting.seen(ROWS) == (real.others, real.logits, 0, 0)


@pytest.mark.parametrize("setting", SETTINGS[::3], ids=str)
def test_what_torch_takes_for_a_gradient_batch_is_little_more(setting: Setting) -> None:
    """Measured by its profiler: what kernels take inside, for a moment, is not seen."""
    batch, now, most = passed(setting.network()), 0, 0
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        batch()
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    seen = setting.seen(ROWS)
    assert 0.98 <= most / (seen.activations + seen.logits) <= 1.1


@pytest.mark.parametrize("setting", SETTINGS[1::2], ids=str)
def test_what_is_saved_for_the_backward_pass_is_among_it(setting: Setting) -> None:
    net = setting.network()
    weights = {id(weight.untyped_storage()) for weight in net.model.parameters()}
    saved: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[id(tensor.untyped_storage())] = tensor.untyped_storage()
        return tensor

    batch = passed(net)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        batch()
    total = sum(storage.nbytes() for place, storage in saved.items() if place not in weights)
    seen = setting.seen(ROWS)
    assert total <= seen.activations + seen.logits
    if not setting.recompute:
        assert seen.activations + seen.logits <= 2 * total


def test_recomputing_and_smaller_batches_make_less() -> None:
    kept, again = (Setting("llama", Full(), torch.float32, recompute, layers=6).seen(ROWS) for recompute in (False, True))
    assert again.activations < 0.5 * kept.activations
    half = Setting("llama", Full(), torch.float32, True, layers=6).seen(ROWS._replace(number=2))
    assert half.logits == pytest.approx(0.5 * again.logits, rel=0.01) and half.activations < again.activations


def test_logits_of_a_few_tokens_are_as_on_real_tensors() -> None:
    setting = Setting("llama", Full(), torch.float32, True)
    net = Network(setting.module("cpu"), Single(), CPU, torch.float32, [3, 4, 5])
    (real,) = watched(net, passed(net)).stretches
    few = Dataless(setting.module("meta"), torch.float32, False, 3).seen(ROWS, None)
    assert few == (real.others, real.logits, 0, 0)
    assert few.logits < setting.seen(ROWS).logits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "rows"), [(SETTINGS[0], Rows(1, 2, 2)), (SETTINGS[1], ROWS), (SETTINGS[6], ROWS), (SETTINGS[7], Rows(2, 120, 60))], ids=str
)
def test_layers_that_are_alike_are_counted_from_three(setting: Setting, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = replace(setting, layers=5)
    short = Dataless(deep.module("meta"), deep.precision, False, None)
    assert short.more == 2
    found = short.seen(rows, rows)
    monkeypatch.setattr(passes, "_alike", lambda module: False)
    whole = deep.seen(rows, rows)
    assert all(each >= other for each, other in zip(found, whole, strict=True))
    assert found == pytest.approx(whole, rel=2e-3)


def test_layers_of_two_types_are_all_looked_at() -> None:
    deep = Setting("gemma3", Full(), torch.bfloat16, True, layers=7)
    assert Dataless(deep.module("meta"), deep.precision, False, None).more == 0


@pytest.mark.parametrize("setting", SETTINGS[::2], ids=str)
def test_drawing_takes_what_it_takes_of_real_tensors(setting: Setting) -> None:
    """Prompts of one length and responses of the longest, as many as are drawn at once."""
    net, seen = setting.network(), setting.seen(ROWS, ROWS)
    prompts = [Prompt(number, "", (3,) * ROWS.prompt) for number in range(2)]
    question = Question(prompts, uniforms(0, 0, [0, 1], 2, ROWS.width), [], None)
    (real,) = watched(net, lambda: Generate(ROWS.number).draw(net, question)).stretches
    numbers = 5 * 8 * ROWS.number * (ROWS.prompt + ROWS.width)
    assert abs(real.bytes - (seen.generation + seen.cache)) <= numbers, "of tokens, masks and places, which generate keeps"


def test_the_cache_is_keys_and_values_of_all_tokens() -> None:
    seen = Setting("llama", LORA, torch.bfloat16, True).seen(ROWS, ROWS)
    tokens, heads, width, layers = 24 + 16 - 1, 2, 8, 2
    assert seen.cache == 4 * tokens * layers * heads * width * 2 * 2, "in bfloat16"


# Several processes.


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 5)), min_size=1, max_size=5), st.integers(1, 48))
def test_shards_are_the_largest_that_a_process_has(shapes: list[tuple[int, int]], processes: int) -> None:
    weights = [torch.empty(shape, dtype=torch.bfloat16) for shape in shapes]
    shared = Need.local(SimpleNamespace(model=SimpleNamespace(engine=FSDP()), processes=processes), weights)  # type: ignore[arg-type]
    assert shared == sum(torch.chunk(weight, processes)[0].nbytes for weight in weights)
    whole = size(weights)
    assert whole <= shared * processes and (processes > 1 or shared == whole)
    alone = SimpleNamespace(model=SimpleNamespace(engine=DDP()), processes=processes)
    assert Need.local(alone, weights) == whole  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", [Full(), LORA], ids=["full", "lora"])
def test_shards_divide_what_whole_models_have(weights: Any) -> None:
    model = language_model(model=folder("llama", width=64, layers=2), weights=weights, precision="float32")
    one, many = (counted(replace(model, engine=FSDP()), plan(prompts=8), processes) for processes in (1, 4))
    alone, ddp = counted(model, plan(prompts=8)), counted(replace(model, engine=DDP()), plan(prompts=8), 4)
    for moment, parts in alone.moments.items():
        for part in ("frozen weights", "trained weights", "gradients", "optimizer", "snapshots"):
            assert one.moments[moment][part] == ddp.moments[moment][part] == parts[part]
            buffers = 3 * 128 if part == "frozen weights" else 0  # which are not shared out
            assert parts[part] <= 4 * many.moments[moment][part] <= 1.1 * parts[part] + buffers
        assert ddp.moments[moment]["buckets"] == parts["trained weights"]
        assert parts["buckets"] == parts.get("gathered", 0) == ddp.moments[moment].get("gathered", 0) == 0
    assert many.parameters == alone.parameters and many.tokens == alone.tokens


@pytest.mark.parametrize("weights", [Full(), LORA], ids=["full", "lora"])
def test_layers_that_are_gathered_are_whole_for_a_while(weights: Any) -> None:
    model = language_model(model=folder("llama"), weights=weights, engine=FSDP(), precision="bfloat16")
    found = counted(model, plan(), 2).moments
    counts = {True: Counter[str](), False: Counter[str]()}
    for name, weight in network(replace(model, engine=Single())).model.named_parameters():
        counts[weight.requires_grad]["layer" if ".layers.0." in name else "other" if ".layers." in name else "outer"] += weight.numel()
    both = counts[True] + counts[False]
    assert both["layer"] == both["other"] > 0
    drawing = 2 * 2 * (both["layer"] + both["outer"])
    assert found["drawing"]["gathered"] == drawing
    gradients = 2 * (counts[True]["outer"] + counts[True]["layer"]) + 4 * counts[True]["layer"]
    assert found["gradient"]["gathered"] == drawing + gradients


def test_each_process_has_its_share_of_a_batch() -> None:
    model = language_model(model=folder("llama"), engine=DDP(), precision="float32", batch=8, rollout=Generate(64))
    two, eight = (asked(model, plan(prompts=8), processes).moments for processes in (2, 8))
    passed = [sum(each["gradient"][part] for part in ("activations", "logits")) for each in (two, eight)]
    assert 3.5 <= passed[0] / passed[1] <= 4, "but for what does not grow with the rows"
    assert eight["drawing"]["cache"] == two["drawing"]["cache"] / 4


# The judge.


@pytest.mark.parametrize("dtype", ["auto", "float32"])
@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16])
def test_the_judge_is_counted_as_it_would_be_loaded(kept: torch.dtype, dtype: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    with quiet():
        shape = config("llama", 2)
        shape.num_labels, shape.pad_token_id = 1, 0
        AutoModelForSequenceClassification.from_config(shape, dtype=kept).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    oracle = RewardModel(str(tmp_path), dtype=dtype)
    judged = oracle.open(torch.device("cpu"), None).reader.model
    found = counted(language_model(oracle=oracle), plan(), judge=str(tmp_path))
    assert {parts["judge"] for parts in found.moments.values()} == {size([*judged.parameters(), *judged.buffers()])}


def test_a_judge_that_is_not_there_is_refused_by_its_key() -> None:
    with pytest.raises(Invalid, match="model=/nowhere: must be a folder or hub name"):
        estimate(language_model(oracle=RewardModel("/nowhere")), plan=plan(), processes=1, judge="/nowhere")


# Room.


def room(model: LanguageModel, what: Plan | PairPlan, processes: int, memory: float | None) -> str:
    """The line of a refusal, empty where there is none."""
    try:
        require_room(model, plan=what, processes=processes, judge=None, memory=memory)
    except Refused as refusal:
        return str(refusal)
    return ""


MEMBERS_BY_WORD: dict[str, Any] = {"lora": LoRA(), "fsdp": FSDP()}


def applied(words: str, model: LanguageModel, what: Plan, processes: int) -> tuple[LanguageModel, Plan, int]:
    """What a user has who adds such words to the command line."""
    for word in words.split():
        key, value = word.split("=")
        if key == "processes":
            processes = int(value)
        elif key == "responses":
            what = what._replace(responses=int(value))
        elif key == "scaled.rollout.batch":
            model = replace(model, rollout=Generate(int(value)))
        elif "/" in key:
            model = replace(model, **{key.partition("/")[2]: MEMBERS_BY_WORD[value]})
        else:
            model = replace(model, **{key.removeprefix("scaled."): yaml.safe_load(value)})
    return model, what, processes


BIG = {"model": folder("llama", width=64, layers=2), "precision": "float32", "length": 30, "batch": 4, "rollout": Generate(4)}


@pytest.mark.slow
@pytest.mark.parametrize(("share", "together"), [(0.5, 1), (0.28, 2), (0.02, 0)])
def test_what_is_told_to_fit_fits(share: float, together: int) -> None:
    model, what = language_model(**BIG), plan(responses=4)
    need = asked(model, what).total
    line = room(model, what, 1, share * need / GIB)
    assert line.startswith(f"memory: {need / GIB:.3g} GiB needed by each process, ") and "\n" not in line
    assert f"its device has {share * need / GIB:.3g} GiB; " in line
    told = line.partition("; would fit: ")[2].split("; or ") if together else []
    assert together or "none of the changes tried would fit" in line
    for words in told:
        changed, played_so, processes = applied(words, model, what, 1)
        assert asked(changed, played_so, processes).fits(share * need), words
        assert len(words.replace("scaled/engine=fsdp ", "").split()) == together


class Formula:
    """Passes by a formula, where only what is made of them is asked, which is much."""

    def __init__(self, module: Any, precision: torch.dtype, cast: bool, allowed: int | None) -> None:
        self.size = 1000 * precision.itemsize

    def seen(self, batch: Rows, drawn: Rows | None) -> Seen:
        return Seen(self.size * batch.number, 0, 0, self.size * drawn.number if drawn else 0)


@given(st.floats(0.03, 0.99), st.sampled_from([1, 4]), st.booleans())
def test_changes_are_as_small_as_will_do(share: float, processes: int, pairs: bool) -> None:
    engine = Single() if processes == 1 else DDP()
    model = language_model(
        **BIG
        | {"engine": engine, "batch": 8, "rollout": Generate(16)}
        | {"model": folder("llama", width=16, layers=1)}
        | ({"dataset": dataset("pairs")} if pairs else {})
    )
    what = on_the_pairs(prompts=8) if pairs else plan(prompts=8, responses=8)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(needs, "Dataless", Formula)
        limit = share * asked(model, what, processes).total
        told = what_would_fit(Need(model, what, processes, None), limit, Known())
        for words in told:
            assert asked(*applied(words, model, what, processes)).fits(limit), words
            for milder in less(words):
                assert not asked(*applied(milder, model, what, processes)).fits(limit), f"{milder} does, {words} was told"
        assert len({" ".join(word.split("=")[0] for word in words.split()) for words in told}) == len(told)


def less(words: str) -> Iterator[str]:
    """The same with less of one of its numbers, where that is not the least change already, or without what is no number."""
    every = words.split()
    for place, word in enumerate(every):
        key, value = word.split("=")
        number = int(value) // 2 if key == "processes" else 2 * int(value) if value.isdigit() else 0
        most = {"scaled.batch": 4, "scaled.rollout.batch": 8, "responses": 4}.get(key, 8)
        if 1 < number <= most:
            yield " ".join([*every[:place], f"{key}={number}", *every[place + 1 :]])
        elif not number and len(every) > 1 and "engine" not in key:
            yield " ".join(every[:place] + every[place + 1 :])


def test_words_that_change_nothing_are_not_told() -> None:
    """What is done already, and what this kind of training does not have."""
    model = language_model(**BIG | {"dataset": dataset("pairs"), "weights": LORA, "recompute": True, "precision": "bfloat16", "batch": 1})
    need = Need(model, on_the_pairs(prompts=5), 1, None)
    assert [change.words for kind in KINDS for change in kind(need)] == []
    with pytest.raises(Refused, match=r"none of the changes tried would fit, nor any two of them$"):
        require_room(model, plan=on_the_pairs(prompts=5), processes=1, judge=None, memory=1e-9)


def test_a_model_that_fits_is_accepted() -> None:
    model, what = language_model(model=folder(width=16, layers=1)), plan()
    need = asked(model, what).total
    assert room(model, what, 1, need / GIB) == "" and room(model, what, 1, 0.99 * need / GIB) != ""


def test_a_processor_is_asked_for_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    model, what = language_model(), plan()
    least = counted(model, what).total
    assert available(None) > 1e8 and room(model, what, 1, None) == ""
    monkeypatch.setattr("scaled.memory.available", lambda memory: least)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(needs, "Dataless", lambda *_: pytest.fail("passes are looked at"))
        assert room(model, what, 1, None) == ""
    monkeypatch.setattr("scaled.memory.available", lambda memory: least - 1)
    assert room(model, what, 1, None).startswith("memory: at least ")


def test_what_a_rollout_takes_for_itself_is_not_there() -> None:
    @dataclass(frozen=True)
    class Elsewhere:
        share: float = 0.4

    model, what = language_model(rollout=Elsewhere()), plan()
    found = asked(model, what)
    assert found.moments["drawing"].get("cache", 0) == 0
    assert room(model, what, 1, found.total / GIB / 0.61) != "" and room(model, what, 1, found.total / GIB / 0.59) == ""
    pairs = replace(model, dataset=dataset("pairs"))
    assert room(pairs, on_the_pairs(), 1, asked(pairs, on_the_pairs()).total / GIB) == "", "nothing is drawn"
    assert not [words for words in what_would_fit(Need(model, what, 1, None), 0.9 * found.total, Known()) if "processes" in words]


def test_a_model_that_needs_its_data_is_counted_without_its_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("what branches on numbers that are not there")

    model, what = language_model(), plan()
    known = asked(model, what)
    monkeypatch.setattr(Dataless, "seen", fail)
    found = asked(model, what)
    assert found.unknown and not known.unknown
    assert found.parts.keys() < {*known.moments["gradient"], *known.parts}
    for moment, parts in found.moments.items():
        assert parts.items() <= known.moments[moment].items()
    assert "at least " in room(model, what, 1, 0.9 * found.total / GIB)


@pytest.mark.parametrize(
    ("changes", "processes", "expected"),
    [({}, 2, "engine=single"), ({"engine": DDP()}, 1, "engine=ddp"), ({"engine": FSDP()}, 3, "prompts=4: must be a multiple of 3")],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], processes: int, expected: str) -> None:
    with pytest.raises(Invalid, match=expected):
        asked(language_model(**changes), plan(), processes)


# Models of full size, of which there are configurations only.


LLAMA_1B = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8}
LLAMA_1B |= {"vocab_size": 128256, "head_dim": 64, "max_position_embeddings": 131072, "tie_word_embeddings": True}
QWEN_8B = {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8}
QWEN_8B |= {"vocab_size": 151936, "head_dim": 128, "max_position_embeddings": 40960, "tie_word_embeddings": False}
SHAPES = {"1b": ("LlamaConfig", LLAMA_1B, 1_235_814_400), "8b": ("Qwen3Config", QWEN_8B, 8_190_735_360)}


def full_size(kind: str, where: Path) -> str:
    """A folder with the configuration of such a model, and a tokenizer."""
    import transformers

    name, sizes, _ = SHAPES[kind]
    getattr(transformers, name)(**sizes, dtype="bfloat16").save_pretrained(where)
    tokenizer().save_pretrained(where)
    return str(where)


RECIPES = sorted((CONF / "recipe").glob("*.yaml"))
SPARE = 0.9


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_fits_its_devices_with_room_to_spare(path: Path, tmp_path: Path) -> None:
    """With prompts of 1024 tokens, and a judge of 8B parameters in bfloat16."""
    judging = full_size("8b", tmp_path / "judge")
    model = full_size(path.stem[:2], tmp_path / "model")
    data = lines(tmp_path / "prompts.jsonl", ["a " * 1024] * 128)
    given = [f"scaled.model={model}", f"scaled.dataset={data}", f"scaled.oracle.model={judging}"]
    (job,) = composed(parse("train", [f"recipe={path.stem}", *given])).jobs
    config = OmegaConf.to_container(job.config, resolve=True)
    made, method = make(config, "scaled"), make(config, "algorithm")
    numbers = config["prompts"], config["responses"], config["steps"]
    what = Plan(method.tableau(config["beta"], steps=numbers[2], actions=numbers[1]), config["beta"], make(config, "feedback"), *numbers, 0)
    found = estimate(made, plan=what, processes=config["processes"], judge=judging)
    assert not found.unknown
    assert config["memory"] == 80 and found.fits(SPARE * 80 * GIB), f"{found.total / GIB:.1f} GiB, {found.worst}: {found.parts}"
    assert found.parameters - (found.trained if isinstance(made.weights, LoRA) else 0) == SHAPES[path.stem[:2]][2]
    gpus = {"one_gpu": 1, "eight_gpus": 8, "two_nodes": 16}[path.stem.partition("_")[2]]
    assert config["processes"] == gpus


def test_recipes_are_of_the_sizes_that_are_promised() -> None:
    assert [path.stem for path in RECIPES] == ["1b_eight_gpus", "1b_one_gpu", "8b_eight_gpus", "8b_one_gpu", "8b_two_nodes"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_is_and_leaves_open_what_only_its_user_knows(path: Path) -> None:
    text = path.read_text().splitlines()
    assert text[0] == "# @package _global_" and text[1].startswith("# EGPO on a model of ")
    config = OmegaConf.to_container(OmegaConf.load(path))
    assert config["scaled"]["dataset"] == config["scaled"]["oracle"]["model"] == "???"
    bare = [
        line
        for number, line in enumerate(text)
        if ": " in line and not line.lstrip().startswith(("#", "-")) and not text[number - 1].lstrip().startswith("#")
    ]
    assert not bare, "a comment stands above each key"


ALONE = """
import json, resource, sys, time
import torch
from algorithms.egpo import EGPO
from envs.feedback import Exact
from scaled.engine import Single
from scaled.language_model import LanguageModel
from scaled.memory import estimate
from scaled.rollouts.generate import Generate
from scaled.self_play import Plan
from scaled.weights import LoRA
began = time.process_time()
model = LanguageModel(sys.argv[1], sys.argv[2], None, Generate(64), LoRA(), Single(), length=256)
plan = Plan(EGPO().tableau(0.1, steps=9, actions=4), 0.1, Exact(), 16, 4, 9, 0)
found = estimate(model, plan=plan, processes=1, judge=None).total
print(json.dumps([found, time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


@pytest.mark.slow
def test_a_model_of_full_size_is_estimated_in_seconds_and_without_its_weights(tmp_path: Path) -> None:
    data = lines(tmp_path / "prompts.jsonl", ["a " * 256] * 16)
    words = [sys.executable, "-c", ALONE, full_size("8b", tmp_path), data]
    done = subprocess.run(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(CONF.parent)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    total, seconds, most = json.loads(done.stdout)
    assert total > 16e9
    assert most < 1.5 * GIB and seconds < 20
