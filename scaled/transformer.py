"""A small decoder of the GPT-2 type whose distribution over whole responses can be enumerated exactly.

A response is exactly L tokens of a vocabulary of V; there is no end token, and the output layer knows the V tokens only, so
that the K = V^L responses exhaust the policy: its probabilities sum to 1 by construction. Response number k is k written with
L digits in base V, the first token the leading digit.

GPT-2 (Radford et al., 2019, as recalled): learned positions, layer norms before attention and before a fourfold GELU layer,
residual sums, a last layer norm; the output layer is not tied to the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from envs.dials import require_integer, require_positive
from envs.invalid import require
from scaled.policy import Enumerated, draw, normalise

LARGEST_SET = 2**16
"""Responses to a prompt that are enumerated at most."""
LARGEST_NUMBER = 2**63 - 1


class Block(nn.Module):
    """Causal self-attention, then a layer of 4 x width, each on a residual stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, stream: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        stream = stream + self.attend(self.before_attention(stream))
        return stream + self.mlp(self.before_mlp(stream))

    def attend(self, stream: Tensor) -> Tensor:
        """Each position looks at itself and at earlier ones."""
        rows, length, width = stream.shape
        split = self.attention(stream).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / (width // self.heads) ** 0.5
        later = torch.ones(length, length, dtype=torch.bool, device=stream.device).triu(1)
        seen = scores.masked_fill(later, -torch.inf).softmax(-1) @ value
        return self.joined(seen.transpose(1, 2).reshape(rows, length, width))


class Transformer(Enumerated):
    """A decoder-only transformer as a policy over responses of L tokens.

    Parameters
    ----------
    prompts : C prompts, each the same number >= 1 of tokens; token numbers are integers >= 0 of a vocabulary of their own
    vocabulary : V >= 2, tokens that responses are made of
    length : L >= 1, tokens of a response
    width, layers, heads : of the network; `heads` divides `width`
    spread : > 0, standard deviation of the logits of the start policy over tokens, roughly
    seed : of the first weights
    dtype : torch.float32 or torch.float64

    Raises
    ------
    Invalid
        For other values; by `log_probs` where V^L > 65536 = LARGEST_SET (`sample` and `log_prob` go on to V^L < 2^63).
    """

    prompts: Tensor

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        vocabulary: int,
        length: int,
        width: int = 32,
        layers: int = 2,
        heads: int = 2,
        spread: float = 1.0,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        _check(prompts, {"vocabulary": vocabulary, "length": length, "width": width, "layers": layers, "heads": heads})
        require_integer("seed", seed, 0)
        require(width % heads == 0, "heads", heads, f"a divisor of width={width}")
        require_positive("spread", spread)
        require(dtype in (torch.float32, torch.float64), "dtype", dtype, "torch.float32 or torch.float64")
        require(
            vocabulary ** min(length, 64) <= LARGEST_NUMBER, "length", length, f"such that V^L < 2^63, V={vocabulary}: they are numbered"
        )
        self.vocabulary, self.length = vocabulary, length
        self.register_buffer("prompts", torch.tensor([list(prompt) for prompt in prompts]))
        with torch.random.fork_rng(devices=[]):  # torch draws weights of its own, which are not kept
            self.prompt_embedding = nn.Embedding(int(self.prompts.max()) + 1, width)
            self.embedding = nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(self.prompts.shape[1] + length - 1, width)
            self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
            self.last_norm, self.output = nn.LayerNorm(width), nn.Linear(width, vocabulary)
        self._initialise(seed, layers, spread / width**0.5)
        self.to(dtype)

    @torch.no_grad()
    def _initialise(self, seed: int, layers: int, output: float) -> None:
        """GPT-2's scales (as recalled): 0.02, and 0.02/sqrt(2 layers) for what enters the residual stream; `output` for the last."""
        generator = torch.Generator().manual_seed(seed)
        for name, weights in self.named_parameters():
            if "norm" in name or "before" in name or name.endswith("bias"):
                weights.fill_(float("weight" in name))
                continue
            residual = name.endswith(("joined.weight", "mlp.2.weight"))
            scale = output if name.startswith("output") else 0.02 / (2 * layers) ** 0.5 if residual else 0.02
            weights.normal_(0.0, scale, generator=generator)

    @property
    def contexts(self) -> int:
        """C."""
        return len(self.prompts)

    @property
    def actions(self) -> int:
        """K = V^L, whether it can be enumerated or not."""
        return self.vocabulary**self.length

    def token_log_probs(self, tokens: Tensor) -> Tensor:
        """(C, n, T + 1, V) log-probabilities of each next token along (C, n, T) tokens, T < L, the first after the prompt alone."""
        contexts, count, written = tokens.shape
        prompt = self.prompt_embedding(self.prompts)[:, None].expand(-1, count, -1, -1)
        stream = torch.cat([prompt, self.embedding(tokens)], dim=2).flatten(0, 1)
        stream = self.blocks(stream + self.positions.weight[: stream.shape[1]])
        heads = normalise(self.output(self.last_norm(stream[:, -written - 1 :])))
        return heads.view(contexts, count, written + 1, self.vocabulary)

    def log_probs(self) -> Tensor:
        """(C, K), by the chain rule along all V^(L-1) prefixes."""
        require(self.actions <= LARGEST_SET, "length", self.length, _too_many(self.vocabulary))
        prefixes = torch.arange(self.actions // self.vocabulary, device=self.prompts.device)
        tokens = self.tokens(prefixes, self.length - 1).expand(self.contexts, -1, -1)
        steps = self.token_log_probs(tokens)
        before = steps[:, :, :-1].gather(-1, tokens[..., None]).sum((-1, -2))
        return (before[..., None] + steps[:, :, -1]).flatten(1)

    def log_prob(self, responses: Tensor) -> Tensor:
        """(C, n), the sum over tokens."""
        tokens = self.tokens(responses, self.length)
        return self.token_log_probs(tokens[..., :-1]).gather(-1, tokens[..., None]).sum((-1, -2))

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(C, count), drawn token by token."""
        tokens = torch.zeros(self.contexts, count, 0, dtype=torch.long, device=self.prompts.device)
        for _ in range(self.length):
            following = self.token_log_probs(tokens)[:, :, -1]
            tokens = torch.cat([tokens, draw(following, 1, generator)], dim=-1)
        places = self.vocabulary ** torch.arange(self.length - 1, -1, -1, device=tokens.device)
        return (tokens * places).sum(-1)

    def tokens(self, responses: Tensor, length: int) -> Tensor:
        """(..., length) digits in base V of (...) numbers, the leading one first."""
        places = self.vocabulary ** torch.arange(length - 1, -1, -1, device=responses.device)
        return responses[..., None] // places % self.vocabulary


def _check(prompts: Sequence[Sequence[int]], sizes: dict[str, int]) -> None:
    for key, value in sizes.items():
        require_integer(key, value, 2 if key == "vocabulary" else 1)
    tokens = [token for prompt in prompts for token in prompt]
    whole = all(type(token) is int and token >= 0 for token in tokens)
    one_length = len({len(prompt) for prompt in prompts}) == 1
    require(one_length and tokens and whole, "prompts", prompts, "lists of integers >= 0, all of one length >= 1")


def _too_many(vocabulary: int) -> str:
    return f"such that V^L <= {LARGEST_SET} responses, V={vocabulary}, to be enumerated; sampling (sample, log_prob) remains"
