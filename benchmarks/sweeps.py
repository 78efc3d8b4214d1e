"""Time and memory of a large sweep, as a user would run it: a grid of 10,000 cells, 16 seeds and 200 iterations each, at K = 10.

`python benchmarks/sweeps.py FOLDER` runs it into FOLDER (empty or new), gathers it, queries it in place, and prints seconds, memory
and rows a second.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import duckdb

TENTHS = [round(0.1 * number, 1) for number in range(1, 11)]
GRID = {
    "beta": TENTHS,
    "env.intransitivity": [round(number / 9, 3) for number in range(10)],
    "algorithm.rate": TENTHS,
    "feedback.flip": [round(0.045 * number, 3) for number in range(10)],
}
SETTINGS = ["env=blend", "env.actions=10", "steps=200", "seeds=16"]


def timed(*words: str) -> float:
    """Seconds of a command of simlab's, in a process of its own."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-m", "simlab", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def memory() -> str:
    """The largest that a process has needed so far."""
    return f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:,.0f} MiB"


def query(folder: Path) -> float:
    """Seconds of one question to all files, where they are."""
    began = time.perf_counter()
    duckdb.sql(f"SELECT beta, median(exploitability) FROM '{folder}/*.parquet' WHERE step = 200 GROUP BY beta ORDER BY beta").fetchall()
    return time.perf_counter() - began


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    grid = "{" + ",".join(f"{key}:{values}" for key, values in GRID.items()).replace(" ", "") + "}"
    swept = timed("run", *SETTINGS, f"grid={grid}", f"store={folder}")
    again, needed = timed("run", *SETTINGS, f"grid={grid}", f"store={folder}"), memory()
    table = folder.parent / f"{folder.name}.parquet"
    gathered = timed("collect", str(folder), "--output", str(table))
    rows = duckdb.sql(f"SELECT count(*) FROM '{table}'").fetchall()[0][0]
    print(f"10,000 cells: {swept:.0f} s and {needed}; again, with nothing to do: {again:.0f} s")
    print(f"collect: {rows:,} rows in {gathered:.1f} s and {memory()}, {rows / gathered:,.0f} rows a second")
    print(f"one query in place: {query(folder):.2f} s")
