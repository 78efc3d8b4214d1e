"""A bound: the features read once, by the dot product of BLAS of the array with itself. There is no answer."""

from collections.abc import Callable

from benchmarks.instances import labelled
from benchmarks.work import Size

LIBRARY = "numpy"


def prepare(size: Size) -> Callable[[], None]:
    features = labelled(size)[0].ravel()

    def work() -> None:
        features.dot(features)

    return work
