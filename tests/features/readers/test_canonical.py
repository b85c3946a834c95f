import contextlib
import gzip
import random
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InvalidInput, UnreadableFile
from features.readers.canonical import CanonicalFile, read_canonical
from features.readers.canonical_rows import ReadingCaps
from features.vocabulary import TableFormat

TIMESERIES = TableFormat.TIMESERIES
HEADER = "test_time_second,voltage_volt,current_ampere"
EVE_CELL = "04QCB76836300JBC40000903"


def written(folder: Path, text: str | bytes, name: str = "run.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def csv_of(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def refusal(path: Path, table_format: TableFormat = TIMESERIES, battery_id: str | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_canonical(path, table_format, battery_id)
    return str(caught.value)


def charging(rows: int, battery_id: str | None = None) -> pd.DataFrame:
    time = np.arange(rows, dtype=float)
    table = pd.DataFrame({"test_time_second": time, "voltage_volt": 3.0 + time / 700, "current_ampere": 10.0 / 3})
    return table if battery_id is None else table.assign(battery_id=battery_id)


TABLES = {
    TableFormat.TIMESERIES: pd.DataFrame(
        {
            "test_time_second": [0.0, 0.1],
            "voltage_volt": [3.2, 3.3],
            "current_ampere": [0.0, 17.5],
            "step_count": [1, 1],
        }
    ),
    TableFormat.STEP_TABLE: pd.DataFrame(
        {
            "step_index": [0, 1],
            "step_type": ["rest", "discharge"],
            "step_duration_second": [600.0, 5.0],
            "current_ampere": [0.0, -17.5],
            "voltage_begin_volt": [3.29, 3.26],
            "voltage_end_volt": [3.29, 3.21],
            "surface_temperature_celsius": [25.1, np.nan],
        }
    ),
    TableFormat.SPECTRUM: pd.DataFrame(
        {"frequency_hertz": [1e3, 0.1], "real_impedance_ohm": [6e-4, 1e-3], "imaginary_impedance_ohm": [1e-5, -2e-4]}
    ),
    TableFormat.TELEMETRY: pd.DataFrame(
        {
            "unix_time_second": [1.6e9, 1.6e9 + 10],
            "pack_voltage_volt": [330.1, np.nan],
            "pack_current_ampere": [-12.4, 3.0],
            "reported_soc_percent": [51.0, 51.0],
            "cell_voltage_1_volt": [3.701, np.nan],
            "cell_voltage_2_volt": [3.702, 3.7],
        }
    ),
}


@pytest.mark.parametrize("table_format", TABLES)
def test_every_format_reads_the_same_bits_from_csv_compressed_csv_and_parquet(
    table_format: TableFormat, tmp_path: Path
):
    table = TABLES[table_format]
    table.to_csv(tmp_path / "run.csv", index=False)
    table.to_csv(tmp_path / "run.csv.gz", index=False)
    table.to_parquet(tmp_path / "run.parquet", index=False)

    for name in ("run.csv", "run.csv.gz", "run.parquet"):
        columns = read_canonical(tmp_path / name, table_format).table.columns
        assert list(columns) == list(table)
        for column in table:
            np.testing.assert_array_equal(columns[column], table[column].to_numpy())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-10, 1500), min_size=1, max_size=20))
def test_any_double_survives_csv_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, voltages: list[float]):
    rows = (f"{second},{voltage!r},0.0" for second, voltage in enumerate(voltages))
    path = written(tmp_path_factory.mktemp("csv"), csv_of(*rows))

    read = read_canonical(path, TIMESERIES).table.floats("voltage_volt")

    assert read.tobytes() == np.array(voltages).tobytes()


def test_byte_order_mark_windows_line_ends_blank_last_lines_and_spaces_are_harmless(tmp_path: Path):
    text = b"\xef\xbb\xbf" + csv_of("0, 3.2 ,1", "1,+3.3,1.0e0", "", "").replace("\n", "\r\n").encode()

    table = read_canonical(written(tmp_path, text), TIMESERIES).table

    assert table.floats("voltage_volt").tolist() == [3.2, 3.3]
    assert table.floats("current_ampere").tolist() == [1.0, 1.0]


def test_a_blank_line_between_rows_is_refused(tmp_path: Path):
    assert "row 3" in refusal(written(tmp_path, csv_of("0,3.2,1", "", "1,3.3,1")))


def test_telemetry_says_when_it_began_and_a_bench_table_does_not(tmp_path: Path):
    TABLES[TableFormat.TELEMETRY].to_csv(tmp_path / "car.csv", index=False)
    bench = written(tmp_path, csv_of("0,3.2,1"))

    started_at = read_canonical(tmp_path / "car.csv", TableFormat.TELEMETRY).started_at

    assert started_at == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)
    assert read_canonical(bench, TIMESERIES).started_at is None


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("3.2 V", "run.csv row 3 column voltage_volt: must be a number (got '3.2 V')"),
        ("True", "must be a number (got 'True')"),
        ("2026-01-05", "must be a number (got '2026-01-05')"),
        ("0x10", "must be a number (got '0x10')"),
        ("1_0", "must be a number (got '1_0')"),
        ('"3,2"', "must be a number; write decimals with a point (got '3,2')"),
        (
            "",
            "run.csv row 3 column voltage_volt: must be a finite number from -10 to 1500 V (got an empty cell or nan)",
        ),
        ("nan", "run.csv row 3 column voltage_volt: must be a finite number"),
        ("inf", "run.csv row 3 column voltage_volt: must be a finite number from -10 to 1500 V (got inf)"),
        ("1e999", "must be a finite number from -10 to 1500 V (got inf)"),
        ("3200", "must be a finite number from -10 to 1500 V (got 3200.0)"),
    ],
)
def test_a_bad_cell_is_named_by_file_row_column_and_value(cell: str, said: str, tmp_path: Path):
    assert said in refusal(written(tmp_path, csv_of("0,3.2,1", f"1,{cell},1", "2,3.4,1")))


def test_time_that_steps_back_is_named_by_its_file_row(tmp_path: Path):
    assert "run.csv row 4 column test_time_second: must be larger" in refusal(
        written(tmp_path, csv_of("0,3.2,1", "1,3.2,1", "0.5,3.2,1"))
    )


def test_missing_values_are_allowed_in_telemetry_as_empty_or_nan_but_words_are_not(tmp_path: Path):
    header = "unix_time_second,pack_voltage_volt,pack_current_ampere,reported_soc_percent"
    fine = written(tmp_path, csv_of("1600000000,,1,50", "1600000010,NaN,1,50", header=header))
    worded = written(tmp_path, csv_of("1600000000,--,1,50", header=header), "worded.csv")

    assert np.isnan(read_canonical(fine, TableFormat.TELEMETRY).table.floats("pack_voltage_volt")).all()
    assert "(got '--')" in refusal(worded, TableFormat.TELEMETRY)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("test_time_second,voltage_volt", "column current_ampere: is required in timeseries"),
        (f"{HEADER},voltage_volt", "column voltage_volt: appears more than once"),
        (f"{HEADER},operator", "column 'operator': is not a column of timeseries"),
        (f",{HEADER}", "write the table without its index"),
        (HEADER.replace(",", ";"), "separate columns by commas"),
        (HEADER.replace(",", "\t"), "separate columns by commas"),
    ],
)
def test_a_header_that_is_not_exactly_canonical_is_refused_by_column_name(header: str, said: str, tmp_path: Path):
    assert said in refusal(written(tmp_path, csv_of("0,3.2,1,1", header=header)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the first line must be the header row"),
        (b"\n0,1,2\n", "the first line must be the header row"),
        (HEADER.encode() + b"\n", "the table must have at least one row"),
        (csv_of("0,3.2,1", "1,3,3,1").encode(), "row 3: has 4 columns instead of 3; decimals need a point"),
        (csv_of("0,3.2,1", "1,3.3").encode(), "row 3: has 2 columns instead of 3"),
        (csv_of("0,3.2,1").encode("utf-16"), "save the table as CSV in UTF-8"),
        (b"PK\x03\x04 a workbook", "save the table as CSV in UTF-8"),
    ],
)
def test_a_file_that_is_no_csv_table_says_why(content: bytes, said: str, tmp_path: Path):
    assert said in refusal(written(tmp_path, content))


def test_battery_names_in_utf8_and_gbk_are_both_read_and_another_encoding_is_refused(tmp_path: Path):
    text = csv_of("电池一,0,3.2,1", "电池一,1,3.3,1", header=f"battery_id,{HEADER}")

    for encoding in ("utf-8", "utf-8-sig", "gbk"):
        path = written(tmp_path, text.encode(encoding))
        assert read_canonical(path, TIMESERIES, "电池一").table.row_count == 2
    assert "neither UTF-8 nor GBK" in refusal(
        written(tmp_path, csv_of("Zelle-\xfc,0,3.2,1", header=f"battery_id,{HEADER}").encode("latin-1"))
    )


def test_a_battery_id_column_selects_the_battery_even_where_rows_are_mixed(tmp_path: Path):
    rows = ("A,0,3.2,1", "B,0,3.9,2", "A,1,3.3,1", "B,5,3.8,2")
    path = written(tmp_path, csv_of(*rows, header=f"battery_id,{HEADER}"))

    assert CanonicalFile(path, TIMESERIES).battery_ids == ("A", "B")
    assert read_canonical(path, TIMESERIES, "B").table.floats("test_time_second").tolist() == [0.0, 5.0]
    assert {name: reading.table.row_count for name, reading in CanonicalFile(path, TIMESERIES).readings()} == {
        "A": 2,
        "B": 2,
    }


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_absent_battery_is_an_error_naming_those_in_the_file(ending: str, tmp_path: Path):
    both = pd.concat([charging(3, "A"), charging(3, "B")])
    path = tmp_path / f"run.{ending}"
    both.to_csv(path, index=False) if ending == "csv" else both.to_parquet(path, index=False)

    assert "battery 'C' is not in the file (got it holds A, B)" in refusal(path, battery_id="C")
    assert "name one battery of the file (got it holds A, B)" in refusal(path)


def test_a_file_of_one_battery_needs_no_name_but_refuses_another(tmp_path: Path):
    charging(3, "A").to_parquet(tmp_path / "run.parquet", index=False)

    assert read_canonical(tmp_path / "run.parquet", TIMESERIES).table.row_count == 3
    assert "battery 'B' is not in the file" in refusal(tmp_path / "run.parquet", battery_id="B")


def test_a_file_without_battery_ids_serves_whichever_battery_is_asked(tmp_path: Path):
    assert read_canonical(written(tmp_path, csv_of("0,3.2,1")), TIMESERIES, "A").table.row_count == 1


def test_a_gbt34014_code_matches_whether_written_small_or_large(tmp_path: Path):
    path = written(tmp_path, csv_of(f"{EVE_CELL.lower()},0,3.2,1", header=f"battery_id,{HEADER}"))

    assert CanonicalFile(path, TIMESERIES).battery_ids == (EVE_CELL,)
    assert read_canonical(path, TIMESERIES, EVE_CELL).table.row_count == 1


def test_leading_zeros_of_a_battery_id_are_kept(tmp_path: Path):
    path = written(tmp_path, csv_of("007,0,3.2,1", header=f"battery_id,{HEADER}"))

    assert CanonicalFile(path, TIMESERIES).battery_ids == ("007",)


def test_a_bad_cell_of_one_battery_does_not_spoil_another(tmp_path: Path):
    path = written(tmp_path, csv_of("A,0,abc,1", "B,0,3.2,1", header=f"battery_id,{HEADER}"))
    file = CanonicalFile(path, TIMESERIES)

    assert file.reading("B").table.floats("voltage_volt").tolist() == [3.2]
    with pytest.raises(InvalidInput, match="row 2 column voltage_volt: must be a number"):
        file.reading("A")


def test_an_empty_battery_id_is_refused_with_its_row(tmp_path: Path):
    path = written(tmp_path, csv_of("A,0,3.2,1", ",1,3.2,1", header=f"battery_id,{HEADER}"))
    charging(2).assign(battery_id=["A", None]).to_parquet(tmp_path / "run.parquet", index=False)

    assert "row 3 column battery_id: must not be empty" in refusal(path)
    assert "row 3 column battery_id: must not be empty" in refusal(tmp_path / "run.parquet")


def test_batteries_that_cross_row_groups_are_put_together(tmp_path: Path):
    table = pd.concat([charging(7, f"B{number}") for number in range(10)])
    table.to_parquet(tmp_path / "run.parquet", index=False, row_group_size=5)

    for _, reading in CanonicalFile(tmp_path / "run.parquet", TIMESERIES).readings():
        np.testing.assert_array_equal(reading.table.floats("voltage_volt"), charging(7)["voltage_volt"])


def test_categories_small_floats_and_whole_numbers_are_accepted_in_parquet(tmp_path: Path):
    table = charging(3, "A").astype({"battery_id": "category", "test_time_second": "int32", "voltage_volt": "float32"})
    table.to_parquet(tmp_path / "run.parquet", index=False)
    charging(3).assign(battery_id=7).to_parquet(tmp_path / "numbered.parquet", index=False)
    steps = TABLES[TableFormat.STEP_TABLE].astype({"step_type": "category"})
    steps.to_parquet(tmp_path / "steps.parquet", index=False)

    assert read_canonical(tmp_path / "run.parquet", TIMESERIES, "A").table.floats("voltage_volt")[0] == 3.0
    assert CanonicalFile(tmp_path / "numbered.parquet", TIMESERIES).battery_ids == ("7",)
    words = read_canonical(tmp_path / "steps.parquet", TableFormat.STEP_TABLE).table.words("step_type")
    assert words.tolist() == ["rest", "discharge"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["3.2", "3.3"], "column voltage_volt: must hold numbers (got large_string)"),
        ([True, False], "must hold numbers (got bool)"),
        (pd.to_datetime(["2026-01-01", "2026-01-02"]), "must hold numbers (got timestamp"),
        ([[3.2], [3.3]], "must hold numbers (got list"),
        ([2**53 + 1, 3], "must hold numbers"),
        (
            [None, 3.2],
            "row 2 column voltage_volt: must be a finite number from -10 to 1500 V (got an empty cell or nan)",
        ),
        ([3.2, np.inf], "row 3 column voltage_volt: must be a finite number"),
    ],
)
def test_parquet_values_that_are_no_numbers_are_refused(values: object, said: str, tmp_path: Path):
    charging(2).assign(voltage_volt=values).to_parquet(tmp_path / "run.parquet", index=False)

    assert said in refusal(tmp_path / "run.parquet")


def test_parquet_columns_that_are_not_canonical_are_refused(tmp_path: Path):
    indexed = charging(3).set_index(np.array([5, 6, 9]))
    indexed.to_parquet(tmp_path / "indexed.parquet")
    columns = [pa.array([0.0])] * 4
    pq.write_table(pa.Table.from_arrays(columns, [*HEADER.split(","), "voltage_volt"]), tmp_path / "twice.parquet")

    assert "write the table without its index" in refusal(tmp_path / "indexed.parquet")
    assert "column voltage_volt: appears more than once" in refusal(tmp_path / "twice.parquet")


def test_truncated_empty_and_foreign_parquet_files_are_refused(tmp_path: Path):
    charging(1000).to_parquet(tmp_path / "whole.parquet", index=False)
    whole = (tmp_path / "whole.parquet").read_bytes()
    charging(0).to_parquet(tmp_path / "none.parquet", index=False)
    damaged = whole[:200] + bytes(400) + whole[600:]

    assert "is not a whole Parquet file" in refusal(written(tmp_path, whole[:-20], "cut.parquet"))
    assert "is not a whole Parquet file" in refusal(written(tmp_path, csv_of("0,1,2"), "text.parquet"))
    assert "at least one row" in refusal(tmp_path / "none.parquet")
    assert "UNREADABLE_FILE" in refusal(written(tmp_path, damaged, "damaged.parquet"))


def test_a_damaged_or_renamed_gzip_file_is_refused(tmp_path: Path):
    packed = gzip.compress(csv_of(*(f"{second},3.2,1" for second in range(5000))).encode())

    assert "is damaged" in refusal(written(tmp_path, packed[:-100], "cut.csv.gz"))
    assert "is damaged" in refusal(written(tmp_path, csv_of("0,3.2,1"), "plain.csv.gz"))
    assert "a canonical table ends in .csv, .csv.gz, .parquet" in refusal(written(tmp_path, packed, "run.gz"))


@pytest.mark.parametrize("name", ["absent.csv", "folder.csv"])
def test_a_missing_file_and_a_folder_are_unreadable_files(name: str, tmp_path: Path):
    (tmp_path / "folder.csv").mkdir()

    with pytest.raises(UnreadableFile, match="there is no such file"):
        read_canonical(tmp_path / name, TIMESERIES)


@pytest.mark.parametrize("name", ["run.csv", "run.csv.gz", "run.parquet"])
@pytest.mark.parametrize(
    ("caps", "said"),
    [
        (ReadingCaps(file_bytes=50), "larger than"),
        (ReadingCaps(rows=99), "more than 99 rows"),
        (ReadingCaps(decoded_bytes=2399), "MiB"),
    ],
)
def test_a_file_over_a_cap_is_refused_and_one_at_the_cap_is_read(
    name: str, caps: ReadingCaps, said: str, tmp_path: Path
):
    path = tmp_path / name
    charging(100).to_parquet(path) if name.endswith("parquet") else charging(100).to_csv(path, index=False)
    enough = ReadingCaps(rows=100, decoded_bytes=8000)

    with pytest.raises(UnreadableFile, match=said):
        CanonicalFile(path, TIMESERIES, caps)
    assert CanonicalFile(path, TIMESERIES, enough).reading().table.row_count == 100


def test_a_small_gzip_file_that_unpacks_to_too_much_is_refused(tmp_path: Path):
    bomb = gzip.compress(csv_of(*["0,3.2,1"] * 500_000).encode())
    path = written(tmp_path, bomb, "bomb.csv.gz")

    assert len(bomb) < 50_000
    with pytest.raises(UnreadableFile, match="holds more than 1 MiB of text"):
        CanonicalFile(path, TIMESERIES, ReadingCaps(decompressed_bytes=2**20))


def test_a_parquet_file_that_declares_thirty_million_rows_is_refused_before_decoding(tmp_path: Path):
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(30_000_000, dtype=np.int8)), pa.array([1.0]))
    table = pa.table(dict.fromkeys(HEADER.split(","), repeated.cast(pa.float64())))
    pq.write_table(table, tmp_path / "bomb.parquet", row_group_size=30_000_000)

    assert (tmp_path / "bomb.parquet").stat().st_size < 1_000_000
    assert "more than 20000000 rows; split the file (got 30000000)" in refusal(tmp_path / "bomb.parquet")


def test_more_than_a_thousand_bad_cells_refuse_the_file_at_once(tmp_path: Path):
    rows = (f"{second},abc,1" for second in range(1001))

    assert "more than 1000 cells are not numbers" in refusal(written(tmp_path, csv_of(*rows)))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["run.csv", "run.csv.gz", "run.parquet"]), st.randoms(use_true_random=False))
def test_a_file_with_flipped_bytes_is_read_or_refused_and_never_fails_otherwise(
    tmp_path_factory: pytest.TempPathFactory, name: str, chance: random.Random
):
    path = tmp_path_factory.mktemp("damaged") / name
    table = charging(60, "A")
    table.to_parquet(path, index=False) if name.endswith("parquet") else table.to_csv(path, index=False)
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 3, 20])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])

    with contextlib.suppress(InvalidInput):
        assert read_canonical(path, TIMESERIES, "A").table.row_count <= 60
