"""Worlds: preference games, where they are drawn from, and how they answer."""
