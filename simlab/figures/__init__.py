"""Figures from tidy rows: one kind a module, one colour a method, each saved with the numbers it shows."""
