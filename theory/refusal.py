"""What a claim's check makes of a wrong method, found out with as few instances as it takes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from theory.claim import TOLERANCE, Claim

KINDS = ("identity", "fixed point", "monotone", "threshold", "every step", "constant", "existence", "final", "slope", "distribution")
"""The order in which claims are asked: exact ones first, those on many samples last."""


def refuses(claim: Claim, subjects: Sequence[Any]) -> bool | None:
    """Whether the findings contradict the claim, its prediction of failure included; None where they say nothing.

    The outcome is that of `theory.claim.judge`; it stops at the first finding that settles it.

    Parameters
    ----------
    subjects : those that the claim applies to
    """
    said = None
    some_fails = claim.predicted_to_fail and claim.kind == "existence"
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        for finding in claim.findings(subjects):
            ratio = claim.counted(finding)
            if ratio is None:
                continue
            met = ratio <= 1 + TOLERANCE
            if some_fails and not met:
                return False
            if not some_fails and met == claim.predicted_to_fail:
                return True
            said = some_fails
    return said
