"""A folder of vehicle telemetry as a batch: one Parquet file per pack, who they are in a table beside it.

Files are named after their pack (``PACK-7.parquet``) or lie in a folder that is (``battery_id=PACK-7/…``, as
Spark and DuckDB partition); several files of a pack are several runs. A declared pack without a file and a
file of a pack nobody declared are both error rows: nothing in the folder is passed over in silence.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from features.errors import InvalidInput, Problem
from features.measurement import Inspection
from features.readers.canonical_rows import normal_battery_id
from features.vocabulary import RunKind, TableFormat
from serving.batch.manifest import COLUMNS, REQUIRED_COLUMNS, BatteryOrder, NumberedRows, numbered_rows, orders_of

DECLARED_IN = "batteries.csv"
_RUN_COLUMNS = ("run_kind", "run_format", "run_path", "mapping_path", "train")
_ALLOWED = tuple(name for name in COLUMNS if name not in _RUN_COLUMNS)
_REQUIRED = tuple(name for name in REQUIRED_COLUMNS if name not in _RUN_COLUMNS)
_PARTITION = "battery_id="
_WILD = frozenset("*?[")
_NO_FILE = "\0"
"""Stands for the file of a pack that has none; no file can have this name."""


def is_folder_batch(given: Path) -> bool:
    """Whether what was given is a folder or a pattern, not a manifest."""
    return given.is_dir() or bool(_WILD & set(str(given)))


def read_folder(given: Path, declared: Path | None = None) -> tuple[BatteryOrder, ...]:
    """Batteries of a folder or pattern of telemetry files.

    Parameters
    ----------
    given : Path
        Folder, searched with all folders in it for ``*.parquet``; or a pattern such as ``fleet/2026-*.parquet``.
    declared : Path, optional
        Table of the packs, the columns of a manifest without those of its runs; ``batteries.csv`` in the folder
        unless given.

    Returns
    -------
    tuple of BatteryOrder
        The declared packs in the order of their table, then the files nobody declared.

    Raises
    ------
    InvalidInput
        If the table cannot be used or there is no telemetry file.
    """
    root, pattern = _root_and_pattern(given)
    table = declared or root / DECLARED_IN
    files = sorted(path for path in root.glob(pattern) if path.is_file() and path != table)
    if not files:
        problem = Problem(str(given.name), f"must hold telemetry files ({pattern})")
        raise InvalidInput("The folder cannot be graded. Nothing was graded.", [problem])
    by_pack: dict[str, list[Path]] = {}
    for path in files:
        by_pack.setdefault(normal_battery_id(_pack_of(path)), []).append(path)
    rows = numbered_rows(table, _REQUIRED, _ALLOWED)
    known = {normal_battery_id(str(cells.get("battery_id", ""))) for _, cells in rows}
    undeclared = [path for pack, paths in by_pack.items() if pack not in known for path in paths]
    return (*_declared_orders(rows, by_pack, root), *map(_undeclared, undeclared))


def _root_and_pattern(given: Path) -> tuple[Path, str]:
    """Return the folder before the first wild card, and what is searched in it."""
    if given.is_dir():
        return given, "**/*.parquet"
    wild = next(number for number, part in enumerate(given.parts) if _WILD & set(part))
    return Path(*given.parts[:wild]), str(Path(*given.parts[wild:]))


def _pack_of(path: Path) -> str:
    named = [part.removeprefix(_PARTITION) for part in path.parts if part.startswith(_PARTITION)]
    return named[-1] if named else path.stem


def _declared_orders(rows: NumberedRows, by_pack: dict[str, list[Path]], root: Path) -> list[BatteryOrder]:
    complete: NumberedRows = []
    for number, cells in rows:
        paths = by_pack.get(normal_battery_id(str(cells.get("battery_id", ""))), [])
        complete += [(number, _with_run(cells, path)) for path in paths] or [(number, _with_run(cells, None))]
    return [_with_a_file(order) for order in orders_of(complete, root.absolute())]


def _with_run(cells: dict[str, Any], path: Path | None) -> dict[str, Any]:
    run = {"run_kind": RunKind.FIELD_TELEMETRY.value, "run_format": TableFormat.TELEMETRY.value}
    return {**cells, **run, "run_path": str(path.absolute()) if path else _NO_FILE}


def _with_a_file(order: BatteryOrder) -> BatteryOrder:
    if order.problems or all(run.path.name != _NO_FILE for run in order.runs):
        return order
    problem = Problem(f"row {order.rows[0]}", "no telemetry file is named after this battery", order.battery_id)
    return replace(order, identity=None, runs=(), problems=(problem,))


def _undeclared(path: Path) -> BatteryOrder:
    pack = _pack_of(path)
    problem = Problem(path.name, f"belongs to a battery that {DECLARED_IN} does not declare", pack)
    return BatteryOrder(pack, (), None, Inspection(), (), (problem,))
