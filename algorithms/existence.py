"""What counts as proof that a sum of logistic losses has a minimiser, in every fit."""

from __future__ import annotations

MODERATE, NEAR = 20.0, 0.1
"""A point with no margin beyond MODERATE, from which a Newton step moves none by more than NEAR, proves that a minimiser exists: a
step d that moves all by less than 1 gives probabilities sigmoid(u) - sigmoid'(u) z . d in (0, 1) that reproduce the win counts."""
INSIDE = 1e-9
"""Relative distance from the ends of their intervals that slopes must keep for a minimiser to exist; the accuracy of the linear
program of `algorithms.fit.slope_slack`."""
