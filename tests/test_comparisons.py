"""Counted comparisons, and responses with a parameter each: margins are differences, and all must hang together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from algorithms.fit import fit
from algorithms.ipo import IPO
from envs.comparisons import tabular
from envs.invalid import Invalid


def test_rows_by_hand() -> None:
    found = tabular([[7, 3, 0], [1, 7, 0], [0, 2, 7]])
    np.testing.assert_array_equal(found.features, [[1, -1, 0], [0, 1, -1]])
    np.testing.assert_array_equal(found.wins, [3, 0])
    np.testing.assert_array_equal(found.losses, [1, 2])
    assert found.total == 6


@given(arrays(np.float64, (5, 5), elements=st.integers(0, 9)))
def test_groups_without_comparisons_between_them_are_refused(counts: np.ndarray) -> None:
    """By walking from response 0."""
    linked = (counts + counts.T > 0) & ~np.eye(5, dtype=bool)
    reached = {0}
    for _ in range(5):
        reached |= {j for i in reached for j in range(5) if linked[i, j]}
    if len(reached) == 5:
        assert tabular(counts).total == counts[~np.eye(5, dtype=bool)].sum()
    else:
        apart = min(set(range(5)) - reached)
        with pytest.raises(Invalid, match=rf"counts=a disconnected graph: must be connected: .* responses 0 and {apart}$"):
            tabular(counts)


def test_ipo_on_a_connected_graph_is_the_laplacian_system() -> None:
    """N h = b with N = diag of the numbers of comparisons less their matrix, b = (wins - losses)/(2 tau)."""
    counts = np.random.default_rng(0).integers(0, 6, (6, 6)) * np.array(np.eye(6, k=1) + np.eye(6, k=-1) + np.eye(6, k=3) + np.eye(6, k=-3))
    number = counts + counts.T
    laplacian = np.diag(number.sum(axis=1)) - number
    expected = np.linalg.pinv(laplacian) @ (counts - counts.T).sum(axis=1) / (2 * 0.3)
    np.testing.assert_allclose(fit(IPO(0.3), tabular(counts)).theta, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("counts", "allowed"),
    [
        ([[0, 1]], "of shape (K, K), K >= 2"),
        ([[0]], "of shape (K, K), K >= 2"),
        (3, "of shape (K, K), K >= 2"),
        ([[0, -1], [2, 0]], "counts >= 0"),
        ([[0, np.nan], [2, 0]], "finite"),
        ("many", "an array of numbers"),
    ],
)
def test_refusals(counts: object, allowed: str) -> None:
    with pytest.raises(Invalid) as refusal:
        tabular(counts)
    assert allowed in refusal.value.allowed
