"""Our objectives against TRL's trainer: on the same log-probabilities of tokens in float64, and through a small GPT-2.

TRL is an oracle for tests alone. Its trainer is built as its users build it, from a configuration drawn at random and words of one
letter, and needs no network.

Where it differs: its `ipo` averages over the tokens of a response, which is IPO for responses of one token only, and its `sppo_hard`
is the sum over winner and loser of what SPPO's expectation averages, twice ours.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import Score
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from torch import Tensor  # noqa: E402

from algorithms.cdpo import ConservativeDPO  # noqa: E402
from algorithms.dpo import DPO  # noqa: E402
from algorithms.ipo import IPO  # noqa: E402
from algorithms.rdpo import RobustDPO  # noqa: E402
from algorithms.robust_ipo import RobustIPO  # noqa: E402
from scaled.objectives import PairObjective, sppo_square  # noqa: E402
from scaled.sequence import response_log_prob, token_log_probs  # noqa: E402

pytestmark = [
    pytest.mark.slow,  # five seconds for the import
    pytest.mark.xdist_group("trl"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # TRL's and transformers' about each other
]

BETA, FLIP = 0.3, 0.2


@pytest.fixture(autouse=True)
def _scored(score: Score) -> None:
    score("comparisons of losses with TRL", 1, 1)


WORDS = ["a", "b", "c", "d", "e", "f", "</s>"]  # "a" is also the padding
PAIRS = [
    {"prompt": "b c ", "chosen": "a b a", "rejected": "d"},
    {"prompt": "e ", "chosen": "f", "rejected": "a a b c"},
    {"prompt": "a a d ", "chosen": "a", "rejected": "c a"},
]
Objective = Callable[[Tensor, Tensor], Tensor]


def sppo(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Of (pairs, 2) winners and losers, at eta = 1/beta."""
    wins = torch.tensor([1.0, 0.0], dtype=log_probs.dtype).expand_as(log_probs)
    return sppo_square(log_probs, reference, wins, 1 / BETA)


def twice_sppo(log_probs: Tensor, reference: Tensor) -> Tensor:
    return 2 * sppo(log_probs, reference)


SUMMED: dict[str, Objective] = {
    "sigmoid": PairObjective(DPO(), BETA),
    "robust": PairObjective(RobustDPO(FLIP), BETA),
    "sppo_hard": twice_sppo,
}


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """TRL's trainer for a type of loss; policy and reference are different small GPT-2s."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", pad_token="a")
    config = GPT2Config(vocab_size=len(WORDS), n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=6, eos_token_id=6)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    folder = tmp_path_factory.mktemp("trl")

    def small(seed: int) -> Any:
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        return model

    def trainer(loss: str) -> Any:
        arguments = DPOConfig(
            output_dir=str(folder),
            loss_type=[loss],
            beta=BETA,
            label_smoothing=FLIP if loss == "robust" else 0.0,
            per_device_train_batch_size=len(PAIRS),
            precompute_ref_log_probs=True,
            use_cpu=True,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
        )
        return DPOTrainer(small(1), small(2), args=arguments, train_dataset=Dataset.from_list(PAIRS), processing_class=tokenizer)

    return trainer


class Given:
    """In a model's place: log-probabilities of tokens, 0 outside the responses, and what the trainer logs beside the loss."""

    def __init__(self, tokens: Tensor, mask: Tensor):
        log_probs = torch.where(mask, tokens, 0.0)
        self.outputs = SimpleNamespace(log_probs=log_probs, entropy=log_probs, mean_logits=log_probs, is_top1=mask)

    def __call__(self, **_: object) -> SimpleNamespace:
        return self.outputs


class Batch:
    """Winners, then losers: responses of these lengths after a prompt token, with log-probabilities drawn at random."""

    def __init__(self, winners: list[int], losers: list[int], seed: int = 0):
        rng = np.random.default_rng([seed, 30, 0, 0])
        lengths, width = torch.tensor(winners + losers), max(winners + losers)
        self.mask = torch.arange(width) < lengths[:, None]
        tokens, reference = -rng.gamma(1.5, size=(2, *self.mask.shape))
        self.tokens = torch.tensor(tokens, requires_grad=True)
        self.reference = response_log_prob(torch.tensor(reference), self.mask)

    def of_trl(self, trainer: Any, *, swapped: bool = False) -> Tensor:
        """The trainer's loss; `swapped` takes losers for winners."""
        order = torch.arange(len(self.mask)).roll(len(self.mask) // 2 if swapped else 0)
        mask = self.mask[order]
        completion = torch.cat([torch.zeros_like(mask[:, :1]), mask], 1).long()
        chosen, rejected = self.reference[order].chunk(2)
        inputs = {"input_ids": completion, "attention_mask": torch.ones_like(completion), "completion_mask": completion}
        inputs |= {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}
        return trainer.compute_loss(Given(self.tokens[order], mask), inputs)

    def of_ours(self, objective: Objective, lengths: Tensor | float = 1.0) -> Tensor:
        log_probs = response_log_prob(self.tokens, self.mask) / lengths
        return objective(in_pairs(log_probs), in_pairs(self.reference / lengths))

    def gradient(self, loss: Tensor) -> NDArray:
        return torch.autograd.grad(loss, self.tokens, retain_graph=True)[0].numpy()


def in_pairs(responses: Tensor) -> Tensor:
    """(pairs, 2) of winners, then losers."""
    return torch.stack(responses.chunk(2), -1)


def same(batch: Batch, theirs: Tensor, ours: Tensor, share: float = 1e-12) -> bool:
    """Value and gradient."""
    their_gradient, our_gradient = batch.gradient(theirs), batch.gradient(ours)
    closeness = np.abs(their_gradient - our_gradient).max() <= share * np.abs(their_gradient).max()
    return bool(closeness and abs(theirs.item() - ours.item()) <= share * abs(theirs.item()))


@pytest.fixture
def unequal() -> Batch:
    return Batch([3, 1, 4, 2], [2, 5, 4, 1])


@pytest.mark.parametrize("name", SUMMED)
def test_on_given_log_probabilities(trainers: Callable[[str], Any], unequal: Batch, name: str) -> None:
    theirs = unequal.of_trl(trainers(name))
    assert theirs.dtype == torch.float64
    assert same(unequal, theirs, unequal.of_ours(SUMMED[name]))
    assert not same(unequal, theirs, unequal.of_ours(SUMMED[name], unequal.mask.sum(1)), 1e-2)


def test_sppo_hard_lacks_the_half_of_a_mean(trainers: Callable[[str], Any], unequal: Batch) -> None:
    theirs = unequal.of_trl(trainers("sppo_hard"))
    assert theirs.item() == pytest.approx(2 * unequal.of_ours(sppo).item(), rel=1e-12)


def test_smoothing_mixes_the_losses_of_both_orders(trainers: Callable[[str], Any], unequal: Batch) -> None:
    trainer = trainers("sigmoid")
    theirs = (1 - FLIP) * unequal.of_trl(trainer) + FLIP * unequal.of_trl(trainer, swapped=True)
    assert same(unequal, theirs, unequal.of_ours(PairObjective(ConservativeDPO(FLIP), BETA)))


def test_ipo_is_trls_on_responses_of_one_token(trainers: Callable[[str], Any]) -> None:
    trainer, batch = trainers("ipo"), Batch([1, 1, 1], [1, 1, 1])
    theirs, swapped = batch.of_trl(trainer), batch.of_trl(trainer, swapped=True)
    assert same(batch, theirs, batch.of_ours(PairObjective(IPO(BETA))))
    robust = ((1 - FLIP) * theirs - FLIP * swapped) / (1 - 2 * FLIP)
    assert same(batch, robust, batch.of_ours(PairObjective(RobustIPO(BETA, FLIP))))


def test_on_longer_ones_trl_averages_over_tokens(trainers: Callable[[str], Any], unequal: Batch) -> None:
    theirs = unequal.of_trl(trainers("ipo"))
    assert same(unequal, theirs, unequal.of_ours(PairObjective(IPO(BETA)), unequal.mask.sum(1)))
    assert not same(unequal, theirs, unequal.of_ours(PairObjective(IPO(BETA))), 1e-2)


@pytest.mark.parametrize("name", SUMMED)
def test_through_a_transformer(trainers: Callable[[str], Any], name: str) -> None:
    """TRL's own batch, its masks and its float32: loss and gradient in the parameters."""
    trainer = trainers(name)
    batch = next(iter(trainer.get_train_dataloader()))
    ids, mask = batch["input_ids"], batch["completion_mask"][:, 1:].bool()

    def sequence_log_probs(model: Any, kept: Tensor) -> Tensor:
        logits = model(input_ids=ids, attention_mask=batch["attention_mask"]).logits[:, :-1]
        return in_pairs((token_log_probs(logits, ids[:, 1:]) * kept).sum(1))

    def outcome(loss: Tensor) -> tuple[float, Tensor]:
        gradients = torch.autograd.grad(loss, list(trainer.model.parameters()))
        return loss.item(), torch.cat([gradient.flatten() for gradient in gradients])

    def ours(kept: Tensor) -> tuple[float, Tensor]:
        return outcome(SUMMED[name](sequence_log_probs(trainer.model, kept), sequence_log_probs(trainer.ref_model, kept)))

    value, gradient = outcome(trainer.compute_loss(trainer.model, batch))
    our_value, our_gradient = ours(mask)
    assert value == pytest.approx(our_value, rel=1e-5)
    assert torch.linalg.norm(gradient - our_gradient) < 1e-4 * torch.linalg.norm(gradient)
    by_token = ours(mask & (ids[:, 1:] != WORDS.index("a")))[1]  # padding told by its token: words are lost
    assert torch.linalg.norm(gradient - by_token) > 1e-2 * torch.linalg.norm(gradient)
