"""What a gradient of a stage costs beside plain transformers: forward and backward of the same rows, timed in turns in one process.

    python benchmarks/language_model.py                          a small Llama, on whatever device there is
    python benchmarks/language_model.py --shape 1b --precision bfloat16 --responses 8 --length 256
    python benchmarks/language_model.py --model FOLDER           the shape of a model's config.json

Plain transformers computes the cross-entropy of the same tokens; ours the variance of log pi - target over each prompt's responses.
Weights are random: the time does not depend on them. A line a case: median time a pass of each, the median of the ratios less 1,
tokens a second, and the largest memory of either.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scaled.engine import Single
from scaled.language_model import LanguageModel
from scaled.network import laid_out
from scaled.pool import Pool, Pooled
from scaled.processes import Processes
from scaled.prompts import Prompt, Response
from scaled.realisation import Aim
from scaled.rollouts.generate import Generate
from scaled.rollouts.rollout import Question
from scaled.weights import Full, LoRA

SHAPES = {
    "small": {"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 4096},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "vocab_size": 128256},
}


def main() -> None:
    """Time the cases and print them."""
    words = _words()
    processes = Processes.joined()
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if processes.device.type == 'cuda' else 'processor'}")
    print(f"{'weights':<8} {'plain':>10} {'ours':>10} {'overhead':>9} {'tokens/s':>10} {'GiB':>6}   {'draws/s':>9}")
    for weights in (LoRA(), Full()):
        _case(words, weights, processes)


def _case(words: argparse.Namespace, weights: Any, processes: Processes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _written(Path(folder), words)
        model = LanguageModel(
            folder, "", None, Generate(256), weights, Single(), length=words.length, precision=words.precision, batch=words.batch,
            recompute=not words.keep,
        )  # fmt: skip
        network = model.load(processes, 0)
    rng = np.random.default_rng(0)
    vocabulary = network.model.config.vocab_size
    prompts = [Prompt(number, "", tuple(rng.integers(3, vocabulary, words.prompt).tolist())) for number in range(words.prompts)]
    answers = [[Response(tuple(rng.integers(3, vocabulary, words.length).tolist()), "") for _ in range(words.responses)] for _ in prompts]
    policy = Pooled(network, words.batch)
    policy.pool = Pool(prompts, slice(0, len(prompts)), answers, torch.zeros(len(prompts), words.responses, dtype=torch.float64))
    aim = Aim(policy.log_probs() + torch.randn(len(prompts), words.responses, dtype=torch.float64), torch.zeros(1))
    ours, plain = _timed(
        lambda: aim.descend(policy, aim.target, 1.0), lambda: _plain(network, prompts, answers, words.batch), words, network
    )
    tokens = words.prompts * words.responses * (words.prompt + words.length)
    began = time.perf_counter()
    uniforms = rng.random((len(prompts), words.responses, words.length))
    model.rollout.draw(network, Question(prompts, uniforms, [], None))
    drawn = words.prompts * words.responses * words.length / (time.perf_counter() - began)
    overhead = np.median(np.array(ours) / plain) - 1
    times = f"{np.median(plain):>9.3f}s {np.median(ours):>9.3f}s {overhead:>+8.1%} {tokens / np.median(ours):>10,.0f}"
    print(f"{type(weights).__name__:<8} {times} {processes.memory / 2**30:>6.1f}   {drawn:>9,.0f}")


def _timed(ours: Callable[[], None], plain: Callable[[], None], words: argparse.Namespace, network: Any) -> tuple[list[float], list[float]]:
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(words.turns + 1):
        for times, work in zip(found, (ours, plain), strict=True):
            network.model.zero_grad()
            _wait(network)
            began = time.perf_counter()
            work()
            _wait(network)
            times.extend([time.perf_counter() - began] if turn else [])  # the first warms up
    return found


def _plain(network: Any, prompts: list[Prompt], answers: list[list[Response]], batch: int) -> None:
    """As one would without this library: whole rows, labels, the model's own loss."""
    network.model.train()
    for start in range(0, len(prompts), batch):
        part = slice(start, start + batch)
        rows = [(prompt.tokens, answer.tokens) for prompt, each in zip(prompts[part], answers[part], strict=True) for answer in each]
        tokens, seen, _ = laid_out(rows, network.processes.device)
        labels = tokens.clone()
        labels[:, : len(prompts[0].tokens)] = -100
        with torch.autocast(tokens.device.type, network.precision, enabled=network.precision == torch.bfloat16):
            network.model(input_ids=tokens, attention_mask=seen, labels=labels, use_cache=False).loss.backward()


def _wait(network: Any) -> None:
    if network.processes.device.type == "cuda":
        torch.cuda.synchronize()


def _written(folder: Path, words: argparse.Namespace) -> None:
    """A model of the shape asked for, with random weights."""
    from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

    config = AutoConfig.from_pretrained(words.model) if words.model else LlamaConfig(**SHAPES[words.shape], max_position_embeddings=4096)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder or hub name, of which the shape is taken")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--keep", action="store_true", help="keep activations instead of computing them again")
    for name, default in (("prompts", 4), ("batch", 1), ("responses", 8), ("prompt", 64), ("length", 64), ("turns", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
