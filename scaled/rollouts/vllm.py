"""Responses by vLLM, in this process beside the model that is trained; needs a GPU.

The interface is that of `generate`; the weights go over by files. What vLLM computes differs from what the network computes by
rounding, so it tells the log-probability of what it draws, and the pool weighs responses by it. This rollout has not been run by us:
the machines that the tests run on have no GPU.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from envs.dials import require_number
from envs.invalid import require
from scaled.network import Network
from scaled.rollouts.rollout import Drawn, Question


@dataclass(frozen=True)
class VLLM:
    """vLLM (Kwon et al., arXiv 2309.06180), at temperature 1, each response with a seed from its own random numbers.

    Parameters
    ----------
    share : in (0, 1), of the device's memory that vLLM takes
    """

    share: float = 0.4

    def __post_init__(self) -> None:
        require_number("share", self.share, 0, 1)
        require(0 < self.share < 1, "share", self.share, "a number above 0 and below 1")
        require(find_spec("vllm"), "rollout", "vllm", "generate, or with vllm on a GPU: pip install 'simlab[vllm]'")

    @cached_property
    def engines(self) -> dict[int, Any]:
        """Those that run, by the network they draw from."""
        return {}

    def draw(self, network: Network, question: Question) -> list[list[Drawn]]:
        """See `Rollout`."""
        from vllm import SamplingParams

        require(network.processes.count == 1, "rollout", "vllm", "generate, where there are several processes")
        length = question.uniforms.shape[-1]
        fixed = {"ignore_eos": True, "min_tokens": length} if network.allowed is not None else {"stop_token_ids": list(question.ends)}
        allowed = None if network.allowed is None else network.allowed.tolist()
        seeds = (question.uniforms[..., 0] * 2**31).astype(int)
        settings = [
            SamplingParams(temperature=1.0, max_tokens=length, logprobs=0, seed=int(seed), allowed_token_ids=allowed, **fixed)
            for seed in seeds.ravel()
        ]
        prompts = [{"prompt_token_ids": list(prompt.tokens)} for prompt in question.prompts for _ in range(seeds.shape[1])]
        found = [_drawn(answer.outputs[0]) for answer in self._generated(network, prompts, settings)]
        return [found[start : start + seeds.shape[1]] for start in range(0, len(found), seeds.shape[1])]

    def _generated(self, network: Network, prompts: list, settings: list) -> list:
        """Outputs of vLLM, which is given the weights as they are now."""
        from vllm.lora.request import LoRARequest

        engine, model = self._engine(network), network.model
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            if not getattr(model, "peft_config", None):
                engine.collective_rpc("reload_weights", kwargs={"weights_path": folder})
                return engine.generate(prompts, settings, use_tqdm=False)
            adapter = LoRARequest("policy", 1, folder, load_inplace=True)
            return engine.generate(prompts, settings, use_tqdm=False, lora_request=adapter)

    def _engine(self, network: Network) -> Any:
        """That of a network."""
        from vllm import LLM

        if id(network) not in self.engines:
            adapters = getattr(network.model, "peft_config", None) or {}
            lora = {"enable_lora": True, "max_lora_rank": max(each.r for each in adapters.values())} if adapters else {}
            dtype = str(network.precision).removeprefix("torch.")
            share = {"gpu_memory_utilization": self.share, "logprobs_mode": "processed_logprobs"}
            self.engines[id(network)] = LLM(network.model.name_or_path, dtype=dtype, **share, **lora)
        return self.engines[id(network)]


def _drawn(output: Any) -> Drawn:
    """Tokens and the sum of their log-probabilities."""
    tokens = tuple(output.token_ids)
    return tokens, float(sum(each[token].logprob for token, each in zip(tokens, output.logprobs, strict=True)))
