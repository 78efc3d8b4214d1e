"""Theorems as claims about runs, and the verdicts on them."""
