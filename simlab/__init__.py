"""simlab: a simulation and theory testbed for preference learning.

>>> import simlab
>>> from algorithms.egpo import EGPO
>>> run = simlab.simulate(game, EGPO(), steps=1000)                                      # doctest: +SKIP
>>> simlab.metrics.duality_gap(game, run.log_policy)                                     # doctest: +SKIP
>>> table = simlab.load("simlab_store")                                                  # doctest: +SKIP
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["load", "metrics", "simulate"]

# One thread per block of a run is ours to start; libraries below must not start their own, nor swap in another exp.
for _name, _value in {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": "0",
    "NUMBA_DISABLE_INTEL_SVML": "1",
    "NUMBA_SLP_VECTORIZE": "1",
}.items():
    os.environ.setdefault(_name, _value)

if TYPE_CHECKING:
    from simlab import metrics
    from simlab.run import simulate


_HOMES = {"simulate": "simlab.run", "load": "simlab.collection"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in {"metrics", "run"}:
        return importlib.import_module(f"simlab.{name}")
    raise AttributeError(f"module 'simlab' has no attribute {name!r}")
