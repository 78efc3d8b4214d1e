"""A language model's run on disk: checkpoints of local shards, and the trained model as transformers loads it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from scaled.checkpoint import dumps, loads
from scaled.network import Network
from scaled.quiet import quiet
from scaled.trained import Snapshot

REST = "rest.pt"


def save(folder: Path, snapshots: dict[str, Snapshot], rest: dict[str, Any], network: Network) -> None:
    """Write a checkpoint by all processes, whole or not at all: each its own shards, the leader the rest.

    Parameters
    ----------
    folder : of this checkpoint, which must not exist
    snapshots : by slot; those that are one are written once
    rest : numbers, texts and arrays that every process has
    network : whose weights they are of
    """
    processes, temporary = network.processes, folder.with_name(f".{folder.name}.tmp")
    if processes.leads:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    processes.wait()
    numbers = {id(snapshot): number for number, snapshot in enumerate(snapshots.values())}
    different = {numbers[id(snapshot)]: snapshot for snapshot in snapshots.values()}
    tensors = {name: tensor for number, snapshot in different.items() for name, tensor in _tensors(number, snapshot)}
    with quiet(), _plainly():
        dcp.save(tensors, checkpoint_id=temporary, no_dist=not dist.is_initialized())
    if processes.leads:
        slots = {slot: numbers[id(snapshot)] for slot, snapshot in snapshots.items()}
        groups = {number: snapshot["optimizer"]["param_groups"] for number, snapshot in different.items()}
        (temporary / REST).write_bytes(dumps({"slots": slots, "groups": groups, "rest": _told(rest, np.ndarray, torch.from_numpy)}))
        _flush(temporary)
        temporary.rename(folder)
    processes.wait()


def load_rest(folder: Path) -> dict[str, Any]:
    """The rest of a checkpoint, without its weights.

    Raises
    ------
    ValueError
        If it is not whole.
    """
    return _told(loads((folder / REST).read_bytes())["rest"], Tensor, Tensor.numpy)


def load(folder: Path, network: Network) -> dict[str, Snapshot]:
    """Snapshots of a checkpoint, whatever number of processes wrote it.

    Raises
    ------
    ValueError
        If it is not whole, or of a model with other weights.
    """
    kept = loads((folder / REST).read_bytes())
    try:
        weights = list(network.weights.values())
        shapes = dict(zip(network.weights, weights, strict=True))
        names = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
        tensors: dict[str, Any] = {name: _like(name, shapes, weights) for name in names}
        with quiet(), _plainly():
            dcp.load(tensors, checkpoint_id=folder, no_dist=not dist.is_initialized())
    except Exception as error:  # torch raises many kinds
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from None
    snapshots = {number: _snapshot(number, groups, tensors) for number, groups in kept["groups"].items()}
    return {slot: snapshots[number] for slot, number in kept["slots"].items()}


@contextmanager
def _plainly() -> Iterator[None]:
    """Raise the first error of any process as it is; torch wraps it in what is no Exception."""
    try:
        yield
    except CheckpointException as error:
        raise next(iter(error.failures.values()))[0] from None


def _told(value: Any, kind: type, told: Callable[[Any], Any]) -> Any:
    """A value with everything of a kind, at any depth, told in another."""
    if isinstance(value, kind):
        return told(value)
    if isinstance(value, dict):
        return {name: _told(item, kind, told) for name, item in value.items()}
    return [_told(item, kind, told) for item in value] if isinstance(value, list) else value


def _tensors(number: int, snapshot: Snapshot) -> Iterator[tuple[str, Tensor]]:
    """Names that say where each belongs: `0/weight/NAME` and `0/PLACE/exp_avg`."""
    for name, weight in snapshot["policy"].items():
        yield f"{number}/weight/{name}", weight
    for place, state in snapshot["optimizer"]["state"].items():
        yield from ((f"{number}/{place}/{key}", value) for key, value in state.items())


def _snapshot(number: int, groups: list, tensors: dict[str, Tensor]) -> Snapshot:
    weights: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        whose, part, key = name.split("/", 2)
        if int(whose) == number and part == "weight":
            weights[key] = tensor
        elif int(whose) == number:
            state.setdefault(int(part), {})[key] = tensor
    return {"policy": weights, "optimizer": {"state": state, "param_groups": groups}}


def _like(name: str, shapes: dict[str, torch.nn.Parameter], weights: list[torch.nn.Parameter]) -> Tensor:
    """Room for a tensor, sharded as the weight that it belongs to."""
    _, part, key = name.split("/", 2)
    if part == "weight":
        return torch.empty_like(shapes[key])
    return torch.zeros(()) if key == "step" else torch.empty_like(weights[int(part)])


def _flush(folder: Path) -> None:
    """Wait until all files of a folder are on the disk."""
    for path in folder.iterdir():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def export(folder: Path, network: Network, tokenizer: Any, generation: Any) -> None:
    """Write the model as it stands, for `from_pretrained`: adapters alone where these were trained."""
    model = network.model
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    whole = get_model_state_dict(model, options=options) if network.engine.sharded else None
    if network.processes.leads:
        temporary = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        model.generation_config, ours = generation, model.generation_config
        with quiet():
            model.save_pretrained(temporary, state_dict=whole)
        model.generation_config = ours
        tokenizer.save_pretrained(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    network.processes.wait()
