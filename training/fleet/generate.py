"""The simulated fleet as files: one Parquet per pack, a manifest for ``packgrade batch``, the truth beside it."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.vocabulary import Chemistry
from training.fleet.cell_model import CellModel, VoltageLimitMet
from training.fleet.layout import DIGEST_FILE, MANIFEST_FILE, TELEMETRY_FOLDER, TRUTH_FILE
from training.fleet.order import FleetOrder
from training.fleet.pack import Pack, drawn_pack
from training.fleet.recorded import Driven, recorded
from training.fleet.use import SECONDS_OF_DAY, Use, drawn_use

_FIRST_DAY = datetime(2025, 9, 1, tzinfo=UTC)
_LAST_DAY = datetime(2026, 10, 1, tzinfo=UTC)
_DRAWS = 20
_NOMINAL_VOLT = {Chemistry.NMC: 3.65, Chemistry.LFP: 3.2}


def write_fleet(order: FleetOrder, folder: Path, progress: Callable[[str], None]) -> pd.DataFrame:
    """Generate a fleet; returns its truth, one row per pack.

    Parameters
    ----------
    order : FleetOrder
        What is wanted.
    folder : Path
        Made if missing; holds the manifest, the truth, a folder of Parquet files and the digests of all afterwards.
    progress : callable
        Told a sentence per pack.
    """
    (folder / TELEMETRY_FOLDER).mkdir(parents=True, exist_ok=True)
    models = {chemistry: CellModel(chemistry) for chemistry in _NOMINAL_VOLT}
    packs = []
    for number in range(order.pack_count):
        pack, use, table = _generated(order, number, models)
        _write(table, folder / TELEMETRY_FOLDER / f"{pack.battery_id}.parquet")
        packs.append((pack, use))
        progress(f"{pack.battery_id}: {len(table)} rows, {len(pack.cells)} groups")
    truth = pd.DataFrame(_truth_rows(packs)).astype({"weak_group": "Int64"})
    truth.to_csv(folder / TRUTH_FILE, index=False)
    pd.DataFrame(_manifest_rows(pack for pack, _ in packs)).to_csv(folder / MANIFEST_FILE, index=False)
    _write_digests(folder)
    return truth


def _generated(order: FleetOrder, number: int, models: dict[Chemistry, CellModel]) -> tuple[Pack, Use, pd.DataFrame]:
    chance = np.random.default_rng([order.seed, number])
    chemistry = tuple(models)[number % len(models)]
    name = f"FLEET-{chemistry.value}-{number + 1:04d}"
    pack, driven = _driven_within_limits(order, name, chemistry, models[chemistry], chance)
    latest = _LAST_DAY.timestamp() - 30.4 * SECONDS_OF_DAY * order.month_count
    first_day = chance.uniform(_FIRST_DAY.timestamp(), latest) // SECONDS_OF_DAY
    table = recorded(pack, driven, SECONDS_OF_DAY * float(first_day), chance)
    return pack, driven.use, table if order.cell_columns else table.filter(regex="^(?!cell_voltage_[0-9])")


def _driven_within_limits(
    order: FleetOrder, name: str, chemistry: Chemistry, model: CellModel, chance: np.random.Generator
) -> tuple[Pack, Driven]:
    """Draw a pack and its use again while a cell meets a voltage limit, where a real BMS would have stopped."""
    groups = order.group_count - int(chance.integers(0, order.group_count // 8 + 1))
    for _ in range(_DRAWS):
        use = drawn_use(order, chance)
        pack = drawn_pack(name, model, chemistry, groups, float(use.elapsed_second[-1]) / 3600.0, chance)
        with suppress(VoltageLimitMet):
            return pack, _driven(pack, model, use)
    raise VoltageLimitMet(f"{name}: {_DRAWS} draws of its use all met a voltage limit.")


def _driven(pack: Pack, model: CellModel, use: Use) -> Driven:
    """Let the string go through its use; the weakest moment of the record sets what a full share is."""
    hours = float(use.elapsed_second[-1]) / 3600.0
    held_ah = min(pack.cell_capacity_ah(), pack.cell_capacity_ah(hours))
    cell_current = use.rate * held_ah
    drawn_ah = pack.below_full_ah + (1.0 - use.first_charged_fraction) * held_ah
    volts = model.voltages(pack.cells, drawn_ah, use.elapsed_second, cell_current)
    step_hour = float(use.elapsed_second[1]) / 3600.0
    charged = use.first_charged_fraction + np.cumsum(use.rate) * step_hour
    return Driven(use, pack.parallel * cell_current, charged, volts)


def _write(table: pd.DataFrame, path: Path) -> None:
    """Small and exact: millivolts and tenths survive as float32, with a dictionary where that is shorter."""
    narrow = table.astype({name: np.float32 for name in table.columns if name != "unix_time_second"})
    written = pa.Table.from_pandas(narrow, preserve_index=False).replace_schema_metadata(None)
    lengths = zip(_column_bytes(_parquet(written, True)), _column_bytes(_parquet(written, False)), strict=True)
    shorter = [name for name, (coded, plain) in zip(written.column_names, lengths, strict=True) if coded < plain]
    path.write_bytes(_parquet(written, shorter))


def _parquet(table: pa.Table, use_dictionary: bool | list[str]) -> bytes:
    """Without statistics and a stored schema, which for a hundred columns weigh as much as many rows."""
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=use_dictionary,
        write_statistics=False,
        store_schema=False,
    )
    return buffer.getvalue()


def _column_bytes(written: bytes) -> list[int]:
    rows = pq.ParquetFile(io.BytesIO(written)).metadata.row_group(0)
    return [rows.column(number).total_compressed_size for number in range(rows.num_columns)]


def _write_digests(folder: Path) -> None:
    """Write digests as ``sha256sum --check`` reads them, so that a changed file of a fleet shows."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DIGEST_FILE)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    (folder / DIGEST_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def _truth_rows(packs: Sequence[tuple[Pack, Use]]) -> Iterator[dict[str, object]]:
    for pack, use in packs:
        hours = float(use.elapsed_second[-1]) / 3600.0
        remaining = pack.remaining_capacity_ah(hours)
        yield {
            "battery_id": pack.battery_id,
            "chemistry": pack.chemistry.value,
            "rated_capacity_ah": pack.rated_capacity_ah,
            "remaining_capacity_ah": round(remaining, 3),
            "state_of_health_fraction": round(remaining / pack.rated_capacity_ah, 5),
            "series_count": len(pack.cells),
            "weak_group": pack.weak_group,
            "weak_group_lost_ah": round(pack.weak_group_lost_ah(hours), 3),
        }


def _manifest_rows(packs: Iterator[Pack]) -> Iterator[dict[str, object]]:
    for pack in packs:
        yield {
            "battery_id": pack.battery_id,
            "level": "pack",
            "chemistry": pack.chemistry.value,
            "rated_capacity_ah": pack.rated_capacity_ah,
            "run_kind": "field_telemetry",
            "run_format": "telemetry",
            "run_path": f"{TELEMETRY_FOLDER}/{pack.battery_id}.parquet",
            "nominal_voltage_volt": round(_NOMINAL_VOLT[pack.chemistry] * len(pack.cells), 1),
            "series_count": len(pack.cells),
        }
