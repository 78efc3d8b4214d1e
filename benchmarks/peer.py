"""The process of a peer, as the race sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

from benchmarks.work import Size

THREADS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""One thread each, whatever a library would choose."""


class Peer:
    """A peer of a work at a size, at work in its own process until `close`."""

    def __init__(self, work: str, name: str, size: Size):
        self.name, self.size = name, size
        self.complaints = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  closed in close()
        words = [sys.executable, "-P", "-m", "benchmarks.worker", work, name, json.dumps(size)]
        path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints, text=True,
            env=os.environ | THREADS | {"PYTHONPATH": path},
        )  # fmt: skip

    def hear(self) -> dict[str, Any]:
        """The next answer; where the process has died, its error."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else {"error": self._last_words()}

    def go(self) -> dict[str, Any]:
        """One repetition."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        return self.hear()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.complaints.close()

    def _last_words(self) -> str:
        status = self.process.wait()
        self.complaints.seek(0)
        lines = [" ".join(line.split()) for line in self.complaints if line.strip()]
        return f"the process ended with status {status}" + (f" ({lines[-1]})" if lines else "")
