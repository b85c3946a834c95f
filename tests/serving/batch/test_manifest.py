from pathlib import Path

import pandas as pd
import pytest

from features.errors import InvalidInput
from features.vocabulary import Chemistry, RunKind
from serving.batch.manifest import COLUMNS, REQUIRED_COLUMNS, read_manifest

HEADER = "battery_id,level,chemistry,rated_capacity_ah,run_kind,run_format,run_path"
ROW = "cell-1,cell,LFP,35.0,pulse_test,step_table,pulses.csv"


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_row_becomes_one_battery_with_one_run_beside_the_manifest(tmp_path: Path) -> None:
    (order,) = read_manifest(written(tmp_path, HEADER, ROW))
    assert (order.battery_id, order.rows, order.problems) == ("cell-1", (2,), ())
    assert order.identity.chemistry is Chemistry.LFP
    assert (order.runs[0].kind, order.runs[0].path) == (RunKind.PULSE_TEST, tmp_path / "pulses.csv")


def test_rows_of_one_battery_are_its_runs(tmp_path: Path) -> None:
    second = ROW.replace("pulse_test", "capacity_test")
    other = ROW.replace("cell-1", "cell-2")
    orders = read_manifest(written(tmp_path, HEADER, ROW, other, second))
    assert [(order.battery_id, order.rows) for order in orders] == [("cell-1", (2, 4)), ("cell-2", (3,))]


def test_every_optional_column_is_read(tmp_path: Path) -> None:
    header = (
        HEADER + ",type_designation,nominal_voltage_volt,series_count,parallel_count,started_at,train,"
        "leakage,swelling,burn,water_ingress,deformation,insulation_ohm_per_volt,alarm_level"
    )
    row = ROW + ",X1,3.2,1,1,2026-11-20T08:00:00+08:00,3,false,true,0,no,,512.5,2"
    (order,) = read_manifest(written(tmp_path, header, row))
    assert order.problems == ()
    assert (order.inspection.leakage, order.inspection.swelling, order.inspection.deformation) == (False, True, None)
    assert (order.inspection.insulation_ohm_per_volt, order.inspection.alarm_level) == (512.5, 2)
    assert (order.runs[0].train, order.runs[0].started_at.isoformat()) == (3, "2026-11-20T08:00:00+08:00")


def test_csv_and_parquet_manifests_mean_the_same(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + ",leakage,train", ROW + ",,", ROW.replace("cell-1", "cell-2") + ",true,2")
    as_parquet = tmp_path / "manifest.parquet"
    pd.read_csv(path).to_parquet(as_parquet)
    assert read_manifest(path) == read_manifest(as_parquet)


@pytest.mark.parametrize("missing", REQUIRED_COLUMNS)
def test_a_missing_column_refuses_the_manifest(tmp_path: Path, missing: str) -> None:
    names = [name for name in HEADER.split(",") if name != missing]
    with pytest.raises(InvalidInput, match=f"{missing}: is required"):
        read_manifest(written(tmp_path, ",".join(names), ",".join("x" for _ in names)))


def test_an_unknown_column_refuses_the_manifest(tmp_path: Path) -> None:
    assert "soc_percent" not in COLUMNS
    with pytest.raises(InvalidInput, match="soc_percent: is not a manifest column"):
        read_manifest(written(tmp_path, HEADER + ",soc_percent", ROW + ",50"))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("35.0", "many", "row 3, rated_capacity_ah"),
        ("35.0", "nan", "row 3, rated_capacity_ah"),
        ("35.0", "-35", "row 3.rated_capacity_ah: must be a number from 0.001"),
        ("LFP", "lead", "row 3, chemistry"),
        ("pulse_test", "", "row 3, run_kind"),
        ("cell-1", "04QCB76836300JBC4000090I", ""),
    ],
)
def test_a_bad_row_spoils_its_own_battery_only(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    sound = ROW.replace("cell-1", "cell-0")
    first, second = read_manifest(written(tmp_path, HEADER, sound, ROW.replace(old, new)))
    assert first.problems == ()
    shown = "; ".join(str(problem) for problem in second.problems)
    assert complaint in shown
    assert bool(complaint) == bool(second.problems)


def test_one_battery_declared_in_two_ways_is_refused(tmp_path: Path) -> None:
    (order,) = read_manifest(written(tmp_path, HEADER, ROW, ROW.replace("35.0", "36.0")))
    assert "row 3, rated_capacity_ah: must be the same in every row" in str(order.problems[0])


def test_whole_number_battery_ids_of_a_parquet_manifest_are_names(tmp_path: Path) -> None:
    table = pd.read_csv(written(tmp_path, HEADER, ROW.replace("cell-1", "17")))
    table.to_parquet(tmp_path / "manifest.parquet")
    (order,) = read_manifest(tmp_path / "manifest.parquet")
    assert (order.battery_id, order.problems) == ("17", ())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", HEADER.encode()])
def test_an_unreadable_or_empty_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"manifest\.csv"):
        read_manifest(path)
    with pytest.raises(InvalidInput, match=r"gone\.parquet"):
        read_manifest(tmp_path / "gone.parquet")
