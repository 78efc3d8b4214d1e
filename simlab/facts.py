"""What the games of a run are like, in a few numbers that are kept with its results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from envs.game import Game
from envs.world import World

RECORDED = ("smoothing", "unobserved_pairs")
"""What a world that was read from a file also says about itself."""


def facts(world: World, games: Sequence[Game]) -> dict[str, Any]:
    """Numbers for JSON; where games differ, smallest, median and largest."""
    winners = [game.condorcet_winner() for game in games]
    said = {
        "actions": games[0].actions,
        "contexts": world.contexts,
        "games": len(games),
        "intransitivity": _spread(game.intransitivity() for game in games),
        "clipped": sum(game.intransitivity_is_clipped for game in games),
        "condorcet_winners": sum(winner is not None for winner in winners),
        "condorcet_winner": winners[0],
        "cyclic_triangles": _spread(game.cyclic_triangles() for game in games),
    }
    return said | _recorded(world)


def _spread(values: Iterable[float]) -> list[float]:
    found = np.array(list(values), dtype=np.float64)
    return [float(found.min()), float(np.median(found)), float(found.max())]


def _recorded(world: World) -> dict[str, Any]:
    counts = getattr(world, "counts", None)
    if counts is None:
        return {}
    return {"items": list(world.items), "comparisons": int(counts.sum())} | {name: getattr(world, name) for name in RECORDED}  # type: ignore[attr-defined]
