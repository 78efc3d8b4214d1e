"""One folder a task, one file a peer: `prepare(size)` gives a function without arguments, the work that is timed."""
