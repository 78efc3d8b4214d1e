"""The runs of a store as one tidy table, each row with the settings that tell its run apart.

A setting is a column where it varies between the runs: top-level keys by their name, keys of groups as in `env.flip`, members of
groups as `env` and `algorithm`; these two and `beta` always are. The files themselves can be read in place, too: DuckDB's
`SELECT ... FROM 'FOLDER/*.parquet'`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from envs.invalid import Invalid
from simlab import catalogue, grid, provenance, store
from simlab.identity import IRRELEVANT
from simlab.refusal import Refused
from simlab.words import count

if TYPE_CHECKING:
    from pandas import DataFrame

ALWAYS = ("algorithm", "env", "beta")
"""Settings that are columns whether they vary or not."""


@dataclass(frozen=True, eq=False)
class Collection:
    """What a folder holds.

    Attributes
    ----------
    runs : in the order of their names
    left_out : why files were left out, a line each
    """

    runs: list[store.Stored]
    left_out: list[str]


def load(folder: str | os.PathLike[str], *, all_versions: bool = False) -> DataFrame:
    """The rows of a store folder as one table, with the settings that tell its runs apart; it warns of files that it leaves out.

    Parameters
    ----------
    folder : where `simlab run` or `simlab train` put its runs
    all_versions : take runs of other versions of simlab, too

    Raises
    ------
    Refused
        If there is no such folder, or no run in it.
    """
    import warnings

    found = read(Path(folder).expanduser(), all_versions=all_versions)
    for reason in found.left_out:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    return gather(found.runs).to_pandas()


def read(folder: Path, *, all_versions: bool = False) -> Collection:
    """The runs of a folder; files that cannot be read, or hold numbers of other code, are left out."""
    if not folder.is_dir():
        raise Refused(f"{folder}: must be an existing folder{_command(folder)}")
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_read, sorted(folder.glob("*.parquet"))))
    runs = [each for each in found if isinstance(each, store.Stored)]
    left_out = [each for each in found if isinstance(each, str)]
    if not all_versions:
        origins = [provenance.other_code(run.metadata) for run in runs]
        others = Counter(origin for origin in origins if origin)
        left_out += [f"{folder}: {provenance.report(others, count(len(runs), 'file'))}; --all-versions takes them too"] if others else []
        runs = [run for run, origin in zip(runs, origins, strict=True) if not origin]
    if not runs:
        more = [f"{count(len(left_out) - 3, 'file')} more"] if len(left_out) > 3 else []
        reasons = "; ".join(left_out[:3] + more) or "there is no .parquet file"
        raise Refused(f"{folder}: must hold at least one run ({reasons}){_command(folder)}")
    return Collection(runs, left_out)


def _command(folder: Path) -> str:
    """What makes the runs of a folder that bears the name of an experiment."""
    known = folder.name in catalogue.groups()["experiment"]
    return f"; simlab run experiment={folder.name} store={folder} makes it" if known else ""


def _read(path: Path) -> store.Stored | str:
    try:
        run = store.read(path)
        run.config  # noqa: B018  (read here, on a thread)
        return run
    except Invalid as error:
        return f"{path}: must be {error.allowed}"
    except ValueError:
        return f"{path}: must hold its configuration as JSON"


def gather(runs: Sequence[store.Stored]) -> pa.Table:
    """One table; a column that a run does not have is null in its rows."""
    settings = [dict(_settings(run.config)) for run in runs]
    in_rows = {key for run in runs for key in _varied(run)}
    keys = dict.fromkeys(key for each in settings for key in each)
    kept = [key for key in keys if key in ALWAYS or key in in_rows or len({str(each.get(key)) for each in settings}) > 1]
    columns = {key: grid.alike([each.get(key) for each in settings]) for key in kept}
    parts = [_with(run, {key: values[number] for key, values in columns.items()}) for number, run in enumerate(runs)]
    return pa.concat_tables(parts, promote_options="permissive")


def _settings(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted key; a member of a group by the module of its class."""
    for key, value in config.items():
        if key == "_target_":
            yield prefix.removesuffix("."), value.split(".")[-2]
        elif isinstance(value, dict) and key != "grid":
            yield from _settings(value, f"{prefix}{key}.")
        elif prefix or key not in (*IRRELEVANT, *grid.KEYS):
            yield f"{prefix}{key}", value


def _with(run: store.Stored, settings: dict[str, Any]) -> pa.Table:
    """A run's rows after its settings; one that bears the name of a column of the rows is `config.` and that."""
    rows, names, varied = run.table.num_rows, run.table.column_names, _varied(run)
    columns = {"run": _repeated(run.path.stem, rows)}
    for key, value in settings.items():
        if key not in varied:
            columns[f"config.{key}" if key in names else key] = _repeated(value, rows)
    return pa.table(columns | dict(zip(names, run.table.columns, strict=True)))


def _varied(run: store.Stored) -> dict[str, Any]:
    """The settings that are columns of a run's rows: those of its grid."""
    return grid.axes(run.config) if run.config.get("grid") else {}


def _repeated(value: Any, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), rows)
