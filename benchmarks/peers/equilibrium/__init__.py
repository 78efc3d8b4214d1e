"""Equilibria of games without regularisation."""
