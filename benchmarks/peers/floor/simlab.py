"""simlab: the same as where it races other libraries."""

from benchmarks.peers.iterations.simlab import LIBRARY, prepare

__all__ = ["LIBRARY", "prepare"]
