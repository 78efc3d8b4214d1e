"""scikit-learn: logistic regression without intercept by L-BFGS, to the loosest power of ten that reaches the optimum to 1e-6.

Its objective is C times the summed loss plus |theta|^2 / 2, ours the mean loss plus ridge/2 |theta|^2: C = 1 / (pairs ridge).
"""

from collections.abc import Callable

from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.instances import RIDGE, labelled
from benchmarks.work import Size

LIBRARY = "scikit-learn"
TOLERANCE = 1e-7


def prepare(size: Size) -> Callable[[], NDArray]:
    features, won = labelled(size)
    model = LogisticRegression(solver="lbfgs", fit_intercept=False, C=1 / (len(won) * RIDGE), tol=TOLERANCE, max_iter=1000)
    return lambda: model.fit(features, won).coef_
