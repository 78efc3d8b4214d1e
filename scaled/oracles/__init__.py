"""Pairwise oracles: who says which of two responses is better."""
