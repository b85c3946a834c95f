from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from features.errors import InvalidInput, UnreadableFile
from features.readers.by_format import RUN_FORMATS, TESTER_WORDS, OpenFiles, read_run
from features.readers.tester_formats import TABLE_FORMATS
from features.vocabulary import Provenance, RunKind

ARRIVED = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)
HEADER = "battery_id,test_time_second,voltage_volt,current_ampere\n"


@pytest.fixture
def two_batteries(tmp_path: Path) -> Path:
    path = tmp_path / "charges.csv"
    path.write_text(HEADER + "A,0,3.2,1\nA,1,3.3,1\nB,0,3.9,2\n")
    return path


@pytest.fixture
def vehicle(tmp_path: Path) -> Path:
    path = tmp_path / "car.csv"
    path.write_text(
        "unix_time_second,pack_voltage_volt,pack_current_ampere,reported_soc_percent\n1600000000,330,-5,50\n"
    )
    return path


def test_a_run_names_the_file_but_not_its_folder_and_carries_the_digest_of_what_was_read(two_batteries: Path):
    run = read_run(
        kind=RunKind.PARTIAL_CHARGE, run_format="timeseries", path=two_batteries, available_at=ARRIVED, battery_id="A"
    )

    assert run.source.name == "charges.csv"
    assert run.source.sha256 == run.table.sha256
    assert (run.source.reader, run.source.provenance) == ("timeseries", Provenance.BENCH_MEASURED)
    assert (run.table.row_count, run.available_at, run.train) == (2, ARRIVED, None)


def test_the_begin_is_what_the_caller_says_else_the_source_else_the_moment_of_availability(
    two_batteries: Path, vehicle: Path
):
    earlier = datetime(2026, 10, 30, tzinfo=UTC)
    bench = {"kind": RunKind.PARTIAL_CHARGE, "run_format": "timeseries", "path": two_batteries, "battery_id": "A"}
    field = {"kind": RunKind.FIELD_TELEMETRY, "run_format": "telemetry", "path": vehicle}

    assert read_run(**bench, available_at=ARRIVED, started_at=earlier).started_at == earlier
    assert read_run(**bench, available_at=ARRIVED).started_at == ARRIVED
    assert read_run(**field, available_at=ARRIVED).started_at == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)


def test_telemetry_is_the_vehicles_word_unless_the_caller_knows_better(vehicle: Path):
    field = {"kind": RunKind.FIELD_TELEMETRY, "run_format": "telemetry", "path": vehicle, "available_at": ARRIVED}

    assert read_run(**field).source.provenance is Provenance.BMS_REPORTED
    entered = read_run(**field, provenance=Provenance.OPERATOR_ENTERED)
    assert entered.source.provenance is Provenance.OPERATOR_ENTERED


def test_an_unknown_format_is_refused_and_the_known_ones_are_listed(two_batteries: Path):
    with pytest.raises(InvalidInput) as caught:
        read_run(kind=RunKind.PULSE_TEST, run_format="xlsx", path=two_batteries, available_at=ARRIVED)

    words = ", ".join(RUN_FORMATS)
    assert f"format: must be one of {words} (got 'xlsx')" in str(caught.value)
    assert RUN_FORMATS[:7] == ("timeseries", "step_table", "spectrum", "telemetry", "nebula", "bms", "gbt32960")
    assert set(RUN_FORMATS[7:]) == set(TESTER_WORDS) == set(TABLE_FORMATS)


def test_a_format_that_does_not_fit_the_kind_is_refused(two_batteries: Path):
    with pytest.raises(InvalidInput, match="a impedance comes as spectrum"):
        read_run(
            kind=RunKind.IMPEDANCE, run_format="timeseries", path=two_batteries, available_at=ARRIVED, battery_id="A"
        )


def test_a_bms_export_needs_a_mapping_and_no_other_format_takes_one(vehicle: Path):
    with pytest.raises(InvalidInput, match="needs a vehicle mapping"):
        read_run(kind=RunKind.FIELD_TELEMETRY, run_format="bms", path=vehicle, available_at=ARRIVED)
    with pytest.raises(InvalidInput, match="mapping: belongs to format bms alone"):
        read_run(
            kind=RunKind.FIELD_TELEMETRY, run_format="telemetry", path=vehicle, available_at=ARRIVED, mapping=vehicle
        )


@pytest.mark.parametrize("run_format", ["timeseries", "nebula"])
def test_a_missing_file_and_a_folder_are_unreadable_files_named_without_their_folder(run_format: str, tmp_path: Path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("absent.csv", "folder.csv"):
        with pytest.raises(UnreadableFile) as caught:
            read_run(kind=RunKind.CAPACITY_TEST, run_format=run_format, path=tmp_path / name, available_at=ARRIVED)
        assert f"{name}: there is no such file" in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


def test_a_run_that_began_after_its_file_was_known_is_refused(vehicle: Path):
    with pytest.raises(InvalidInput, match="cannot be before started_at"):
        read_run(
            kind=RunKind.FIELD_TELEMETRY,
            run_format="telemetry",
            path=vehicle,
            available_at=datetime(2019, 1, 1, tzinfo=UTC),
        )


def test_batteries_of_one_file_share_one_opened_file_until_it_changes(two_batteries: Path):
    files = OpenFiles()
    wanted = {"kind": RunKind.PARTIAL_CHARGE, "run_format": "timeseries", "path": two_batteries, "files": files}
    first = read_run(**wanted, available_at=ARRIVED, battery_id="A")
    opened = files.canonical(two_batteries, first.table.format)
    second = read_run(**wanted, available_at=ARRIVED, battery_id="B")

    assert files.canonical(two_batteries, first.table.format) is opened
    assert second.source.sha256 == second.table.sha256 != first.source.sha256
    two_batteries.write_text(HEADER + "A,0,3.2,1\nA,1,3.3,1\nB,0,3.75,2\n")
    changed = read_run(**wanted, available_at=ARRIVED, battery_id="B")
    assert changed.table.floats("voltage_volt").tolist() == [3.75]
    assert changed.source.sha256 != second.source.sha256


@pytest.mark.real_data
def test_charges_of_a_real_cell_agree_bit_for_bit_between_csv_and_parquet(data_dir: Path, tmp_path: Path):
    columns = {"time(s)": "test_time_second", "voltage(V)": "voltage_volt", "current(A)": "current_ampere"}
    segments = pd.read_parquet(data_dir / "partial_charge" / "lfp102_cell1.parquet")
    table = segments.rename(columns=columns)[[*columns.values(), "segment"]].rename(columns={"segment": "battery_id"})
    table = table[table["battery_id"] < 20].astype({"battery_id": str})
    table.to_csv(tmp_path / "run.csv", index=False)
    table.to_parquet(tmp_path / "run.parquet", index=False)
    files = {ending: OpenFiles() for ending in ("csv", "parquet")}

    for battery_id in table["battery_id"].unique():
        read = [
            read_run(
                kind=RunKind.PARTIAL_CHARGE,
                run_format="timeseries",
                path=tmp_path / f"run.{ending}",
                available_at=ARRIVED,
                battery_id=battery_id,
                files=opened,
            )
            for ending, opened in files.items()
        ]
        assert read[0].table.sha256 == read[1].table.sha256
