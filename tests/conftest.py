"""Hypothesis profiles: `ci` tries the same examples every time, `long` searches; HYPOTHESIS_PROFILE chooses."""

import os

from hypothesis import settings

import simlab  # noqa: F401  sets variables that numba reads once, when it is first imported

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=25, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
