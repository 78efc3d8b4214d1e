"""How a model is moved to where a stage of a tableau wants it.

A stage gives target log-probabilities; a realisation changes the policy's weights, from wherever they stand, towards them.
The loss of a prompt is

    2 Var over the responses of (log pi - target),

the variance over all responses or over those drawn: the mean square of the differences of log pi - target between two
responses, so that normalisation of the target plays no part. `Solved` and `LevenbergMarquardt` leave no residual;
`Regression` leaves what a few optimizer steps leave; `OneStep` takes one gradient step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from envs.dials import require_integer, require_positive
from envs.invalid import require
from scaled.policy import Movable, Policy, Table


class NonFinite(ArithmeticError):
    """A loss, a target or a policy that is not finite; a loss is looked at before any step is taken with it."""

    def __init__(self, prompt: int, what: str, where: str = "", whose: str = ""):
        self.prompt, self.what, self.where = prompt, what, where
        super().__init__(f"{where}prompt {prompt}{whose}: {what} is not finite; no step of this iteration is kept")

    def at(self, where: str) -> NonFinite:
        """The same, with the place where it happened in front."""
        return NonFinite(self.prompt, self.what, where)

    def of(self, line: int, dataset: str) -> NonFinite:
        """The same, with the line of a dataset that the prompt comes from."""
        return NonFinite(self.prompt, self.what, self.where, f" of the batch ({dataset}, line {line})")


@dataclass(frozen=True, eq=False)
class Aim:
    """Where a stage wants the policy to go.

    Attributes
    ----------
    target : (C, K) log-probabilities
    direction : (C, K) target less the log-probabilities of the iteration's own policy, over rate * beta: the step that the online IPO
        loss asks for; nan where a stage has no rate or a game no beta
    drawn : (C, n) responses that the loss sees; all K when None
    """

    target: Tensor
    direction: Tensor
    drawn: Tensor | None = None

    def descend(self, policy: Movable, aimed: Tensor, scale: float) -> None:
        """Add the gradient of scale * sum over prompts of 2 Var(log pi - aimed), over the responses that the loss sees.

        Raises
        ------
        NonFinite
            With the first prompt whose loss is not finite.
        """
        wanted = aimed if self.drawn is None else aimed.gather(-1, self.drawn)

        def losses(logs: Tensor, rows: slice) -> Tensor:
            return 2 * (logs - wanted[rows].to(logs.device, logs.dtype)).var(-1, correction=0)

        require_finite(policy.accumulate(losses, scale, self.drawn), "the loss")


def require_finite(values: Tensor, what: str) -> None:
    """Raise :class:`NonFinite` with the first prompt (axis 0) at which (C, ...) values are not finite."""
    bad = ~values.detach().isfinite().flatten(1).all(-1) if values.ndim > 1 else ~values.detach().isfinite()
    if bad.any():
        raise NonFinite(int(bad.nonzero()[0]), what)


class Realisation(Protocol):
    """A way to move a policy."""

    sampled: ClassVar[bool]
    """Whether it can do with the responses drawn, or needs the targets of all."""

    def optimizer(self, policy: Movable) -> torch.optim.Optimizer | None:
        """What has a state that goes on from iteration to iteration; refuses a policy that it cannot move."""
        ...

    def move(self, policy: Any, optimizer: Any, aim: Aim) -> None:
        """Change the policy's weights, in place."""
        ...


@dataclass(frozen=True)
class Solved:
    """Exact, for a `Table` (or whatever has its `assign`): the logits are set."""

    sampled: ClassVar[bool] = False

    def optimizer(self, policy: Policy) -> None:
        """None is needed."""
        require(hasattr(policy, "assign"), "realisation", "Solved()", f"LevenbergMarquardt, Regression or OneStep for a {_name(policy)}")

    def move(self, policy: Table, optimizer: None, aim: Aim) -> None:
        """To the target."""
        policy.assign(aim.target)


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Exact to rounding, through a network in float64 that can represent the target: damped Gauss-Newton steps.

    With r = log pi - target over all prompts and responses and J its Jacobian, a step is -J' (J J' + d s I)^-1 r, s the mean of the
    diagonal of J J'; d falls tenfold after a step that lowers |r| and rises tenfold, without the step, after another.

    Parameters
    ----------
    tolerance : > 0, largest |r| at which a stage is solved
    steps : most evaluations of J
    """

    tolerance: float = 1e-13
    steps: int = 100

    sampled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive("tolerance", self.tolerance)
        require_integer("steps", self.steps, 1)

    def optimizer(self, policy: Policy) -> None:
        """None is needed."""
        kinds = {weights.dtype for weights in policy.parameters()}
        require(kinds == {torch.float64}, "realisation", "LevenbergMarquardt", f"used in float64, not in {', '.join(map(str, kinds))}")

    def move(self, policy: Policy, optimizer: None, aim: Aim) -> None:
        """Until solved, or until no step helps."""
        weights, damping = list(policy.parameters()), 1e-3
        for _ in range(self.steps):
            errors = policy.log_probs() - aim.target
            require_finite(errors, "the loss")
            if errors.abs().max() <= self.tolerance:
                return
            damping = _damped_step(policy, weights, aim, errors.flatten(), damping)
            if damping > 1e12:
                return


def _damped_step(policy: Policy, weights: list[torch.nn.Parameter], aim: Aim, errors: Tensor, damping: float) -> float:
    """One accepted step of Levenberg-Marquardt; the damping to go on with, above 1e12 where none is accepted."""
    rows = torch.autograd.grad(errors, weights, torch.eye(len(errors), dtype=errors.dtype, device=errors.device), is_grads_batched=True)
    jacobian = torch.cat([row.flatten(1) for row in rows], dim=1)
    gram, errors = jacobian @ jacobian.T, errors.detach()
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device) * gram.diagonal().mean()
    before = [weight.detach().clone() for weight in weights]
    while damping <= 1e12:
        step = jacobian.T @ torch.linalg.solve(gram + damping * identity, errors)
        with torch.no_grad():
            for weight, old, part in zip(weights, before, step.split([w.numel() for w in weights]), strict=True):
                weight.copy_(old - part.view_as(old))
            if (policy.log_probs() - aim.target).norm() < errors.norm():
                return max(damping / 10, 1e-14)
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old)
        damping *= 10
    return damping


@dataclass(frozen=True)
class Regression:
    """A few optimizer steps on the mean of the prompts' losses: how a language model is trained.

    Parameters
    ----------
    learning_rate : > 0
    inner : >= 1, optimizer steps a stage
    make : (parameters, lr=) -> optimizer; its state goes on from iteration to iteration
    clip : > 0, largest norm of a gradient, which is scaled down to it; None: as it is
    """

    learning_rate: float = 1e-3
    inner: int = 20
    make: Callable[..., torch.optim.Optimizer] = torch.optim.Adam
    clip: float | None = None

    sampled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive("learning_rate", self.learning_rate)
        require_integer("inner", self.inner, 1)

    def optimizer(self, policy: Movable) -> torch.optim.Optimizer:
        """A new one."""
        return self.make(policy.parameters(), lr=self.learning_rate)

    def move(self, policy: Policy, optimizer: torch.optim.Optimizer, aim: Aim) -> None:
        """`inner` steps."""
        for _ in range(self.inner):
            optimizer.zero_grad()
            aim.descend(policy, aim.target, 1 / len(aim.target))
            self.step(policy, optimizer)

    def step(self, policy: Movable, optimizer: torch.optim.Optimizer) -> None:
        """One, with the gradient that there is."""
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(policy.parameters(), self.clip)
        optimizer.step()


@dataclass(frozen=True)
class OneStep:
    """One step of stochastic gradient descent on the online IPO loss, uniform pairs of responses, summed over the prompts.

    At the iteration's own policy p the loss of a stage has the gradient of 2 Var(log pi - log p - (target - log p)/(rate beta)), the online
    IPO loss 2 Var(log pi/ref - P q/beta) when the target is that of mirror descent. The stage's own rate cancels: on a table the
    step is mirror descent at rate 4 learning_rate/(beta K) (derived here; with `Regression` of one SGD step it would be the stage's
    target for one learning rate only). The map is the same in every stage, as an extragradient needs; momentum would break that.

    Parameters
    ----------
    learning_rate : > 0
    """

    learning_rate: float

    sampled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive("learning_rate", self.learning_rate)

    def optimizer(self, policy: Movable) -> torch.optim.Optimizer:
        """Plain SGD, which has no state."""
        return torch.optim.SGD(policy.parameters(), lr=self.learning_rate)

    def move(self, policy: Policy, optimizer: torch.optim.Optimizer, aim: Aim) -> None:
        """One step."""
        known = aim.direction.isfinite().all()
        require(known, "realisation", "OneStep", "another at beta=0 and for a stage without a rate, which have no online IPO loss")
        with torch.no_grad():
            here = policy.log_probs().to("cpu", torch.float64)
        optimizer.zero_grad()
        aim.descend(policy, here + aim.direction, 1.0)
        optimizer.step()


def _name(policy: object) -> str:
    return type(policy).__name__
