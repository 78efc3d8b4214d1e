"""jax: one instance's iterations in `lax.scan`, mapped over instances by `vmap`, compiled once; float64, on one thread."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.instances import BETA, SLOW, SMALL, advantages, references, told
from benchmarks.work import Size

LIBRARY = "jax"


def prepare(size: Size) -> Callable[[], NDArray]:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    axis = -1 if size["actions"] <= SMALL else 0
    advantage, reference = jnp.asarray(advantages(size, axis)), jnp.asarray(references(size, axis))
    compiled = jax.jit(jax.vmap(_run(size), in_axes=axis))
    return lambda: told(np.asarray(compiled(advantage, reference)))


def _run(size: Size) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The gaps of one instance, (iterations + 1,)."""

    def run(advantage: jax.Array, reference: jax.Array) -> jax.Array:
        def step(policy: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            mine, gap = _asked(policy, advantage, reference)
            pull = (1 - SLOW * BETA) * policy + SLOW * BETA * reference
            policy = jax.nn.log_softmax(pull + SLOW * mine)
            if size["queries"] == 2:
                policy = jax.nn.log_softmax(pull + SLOW * (advantage @ jnp.exp(policy)))
            return policy, gap

        last, gaps = jax.lax.scan(step, reference, None, length=size["iterations"])
        return jnp.append(gaps, _asked(last, advantage, reference)[1])

    return run


def _asked(policy: jax.Array, advantage: jax.Array, reference: jax.Array) -> tuple[jax.Array, jax.Array]:
    p = jnp.exp(policy)
    mine = advantage @ p
    return mine, 2 * BETA * (jax.nn.logsumexp(reference + mine / BETA) + p @ (policy - reference))
