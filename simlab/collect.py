"""`simlab collect FOLDER`: the runs of a store as one file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq

from simlab import store
from simlab.collection import gather, read
from simlab.refusal import FAILED, Refused
from simlab.request import Parser
from simlab.words import count

WRITERS = {".parquet": pq.write_table, ".csv": pyarrow.csv.write_csv}


def collect(words: Sequence[str]) -> int:
    """Read a folder, write a file; returns the exit status: 0 unless a file of the folder was left out.

    Raises
    ------
    Refused
        For a folder without runs, or a file that cannot be written.
    """
    given = _parsed(words)
    folder = Path(given.folder).expanduser()
    named = folder if folder.name else folder.resolve()
    output = Path(given.output).expanduser() if given.output else named.with_name(f"{named.name}.parquet")
    if output.suffix not in WRITERS:
        raise Refused(f"--output={given.output}: must end in {' or '.join(WRITERS)}")
    found = read(folder, all_versions=given.all_versions)
    table = gather(found.runs)
    with store.replacing(output) as temporary:
        WRITERS[output.suffix](table, temporary)
    print(f"{count(table.num_rows, 'row')} of {count(len(found.runs), 'run')} in {output}")
    for reason in found.left_out:
        print(f"simlab: left out: {reason}", file=sys.stderr)
    return FAILED if found.left_out else 0


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    usage = "usage: simlab collect FOLDER [--output FILE] [--all-versions]"
    parser = Parser(usage, prog="simlab collect", description="The runs of a folder as one table.")
    parser.add_argument("folder", help="a store of simlab run or simlab train")
    parser.add_argument("--output", help="a file .parquet or .csv; FOLDER.parquet beside the folder by default")
    parser.add_argument("--all-versions", action="store_true", help="with runs of other versions of simlab, which are else left out")
    return parser.parse_args(list(words))
