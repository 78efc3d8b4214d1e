"""One seed of a language model's run: trained iteration by iteration, from its last checkpoint if there is one, and told of as it goes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simlab.progress import tell
from simlab.refusal import Refused
from simlab.stream import Stream

if TYPE_CHECKING:
    from simlab.language_training import LanguageTraining

NAME = "checkpoint-"


class LanguageRun:
    """Seed number `index` of an experiment."""

    def __init__(self, experiment: LanguageTraining, index: int) -> None:
        self.experiment, self.index = experiment, index
        self.folder = experiment.folder(index)

    def rows(self) -> list[dict[str, Any]]:
        """Train to the end; returns a row for the start and each iteration. What is exact is kept in `log_policy`.

        Raises
        ------
        Refused
            If the last checkpoint is none of this run, or not whole.
        """
        from scaled.processes import Processes

        experiment, processes = self.experiment, Processes.joined()
        processes.use_threads(experiment.config["threads"])
        network = experiment.model.load(processes, experiment.root(self.index, 7))
        learner = experiment.learner(self.index, network)
        rows = self._resume(learner, network) or [self._row(learner, network, {})]
        stream = Stream(self.folder / "metrics.jsonl", experiment.config["tracker"], experiment.config) if processes.leads else None
        if stream:
            stream.begin([_public(row) for row in rows])
        while learner.iteration < learner.steps:
            rows.append(self._step(learner, network))
            if stream:
                stream.write(_public(rows[-1]))
            self._save(learner, network, rows)
        self._export(learner, network)
        return rows

    def clear(self) -> None:
        """Take away the checkpoints, half-written ones too."""
        if self.experiment.leads:
            for path in self.folder.glob(f"*{NAME}*"):
                shutil.rmtree(path)

    def _step(self, learner: Any, network: Any) -> dict[str, Any]:
        began = time.perf_counter()
        seen = learner.step()
        seconds = time.perf_counter() - began
        spent = {"seconds": seconds, "tokens_per_second": seen["tokens"] / seconds, "gib": network.processes.memory / 2**30}
        row = self._row(learner, network, seen) | spent
        standing = f"{row['tokens_per_second']:,.0f} tokens/s, {row['gib']:.1f} GiB"
        tell(f"seed {self.index}, iteration {learner.iteration:,} of {learner.steps:,}, {standing}")
        return row

    def _row(self, learner: Any, network: Any, seen: dict[str, float]) -> dict[str, Any]:
        base = {"step": learner.iteration, "queries": learner.queries, "gradients": learner.gradients}
        exact = self.experiment.exact(network)
        return base | seen | ({} if exact is None else {"log_policy": exact})

    def _save(self, learner: Any, network: Any, rows: list[dict[str, Any]]) -> None:
        from scaled.saved import save

        every = self.experiment.config["checkpoint"]
        if every is None or (learner.iteration % every and learner.iteration < learner.steps):
            return
        before = self._checkpoints()
        rest = {"identity": self.experiment.identity, "iteration": learner.iteration, "rows": rows}
        save(self.folder / f"{NAME}{learner.iteration:08d}", learner.weights, rest, network)
        if network.processes.leads:
            for path in before:
                shutil.rmtree(path)
        network.processes.wait()

    def _resume(self, learner: Any, network: Any) -> list[dict[str, Any]]:
        """Take over the last checkpoint; returns its rows, none where there is no checkpoint."""
        from scaled.saved import load, load_rest

        found = self._checkpoints()
        if not found:
            return []
        path = found[-1]
        try:
            rest = load_rest(path)
            if rest["identity"] != self.experiment.identity:
                raise Refused(f"{path}: must be a checkpoint of this run, and is one of another; without the folder the run begins anew")
            weights = load(path, network)
        except (ValueError, KeyError, OSError) as error:
            raise Refused(f"{path}: must be a whole checkpoint ({error}); without the folder the run begins anew") from None
        learner.resume(weights, rest["iteration"], rest["rows"][-1])
        return rest["rows"]

    def _checkpoints(self) -> list[Path]:
        """Whole ones, the last one last."""
        return sorted(self.folder.glob(f"{NAME}*"))

    def _export(self, learner: Any, network: Any) -> None:
        from scaled.saved import export

        model = self.experiment.model
        export(self.folder / "model", network, model.tokenizer, model.generation)


def _public(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "log_policy"}
