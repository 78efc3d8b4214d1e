"""What the times were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import simlab


def machine() -> dict[str, str | int]:
    """Processor, its number, and the versions of what every work uses."""
    libraries = {library: _version(library) for library in ("numpy", "numba")}
    return {
        "processor": processor(),
        "processors": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "simlab": simlab.__version__,
        **libraries,
    }


def processor() -> str:
    """The name that the processor gives itself, where the system tells."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "unknown"
