"""Genuine tester files: each becomes a canonical table or is refused with the reason."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.errors import UnreadableFile
from features.readers.file_kind import file_kind
from features.readers.tester_formats import TABLE_FORMATS
from features.readers.testers import read_tester

NO_TIME_SERIES = {
    "2017-05-09_test-TC-contact_CH33_Metadata.csv",
    "p492-13-summary.csv",
    "README.yaml",
    "test_Nova_Form-CH01-01_short_metadata.csv",
}


@pytest.fixture(scope="module")
def vendor_files(data_dir: Path) -> list[Path]:
    pytest.importorskip("fastnda")
    return sorted(each for each in (data_dir / "vendor_files").glob("*/*") if each.is_file())


@pytest.mark.real_data
def test_every_vendor_file_becomes_a_table_with_rising_time_or_is_named_as_no_time_series(vendor_files: list[Path]):
    unread = set()
    for path in vendor_files:
        word = file_kind(path).run_format
        if not word:
            unread.add(path.name)
            continue
        table = read_tester(path, word).table
        assert (np.diff(table.floats("test_time_second")) > 0.0).all(), path.name
        assert np.isfinite(table.floats("voltage_volt")).all(), path.name
        assert np.isfinite(table.floats("current_ampere")).all(), path.name

    assert unread == NO_TIME_SERIES


@pytest.mark.real_data
def test_no_vendor_file_is_read_under_another_vendors_word(vendor_files: list[Path]):
    for path in vendor_files:
        word = file_kind(path).run_format
        for other in set(TABLE_FORMATS) - {word}:
            with pytest.raises(UnreadableFile):
                read_tester(path, other)


@pytest.mark.real_data
def test_neware_binaries_agree_with_the_tables_published_beside_them(vendor_files: list[Path]):
    by_stem = {path.name.split(".")[0]: path for path in vendor_files if path.suffix in (".ndax", ".zip")}
    compared = 0
    for published in (path for path in vendor_files if path.parent.name == "neware_fastnda"):
        if published.suffix != ".parquet" or published.stem not in by_stem:
            continue
        table = read_tester(by_stem[published.stem], "neware").table
        oracle = pq.read_table(published)
        for name, ours, per_unit, tolerance in (
            ("Voltage(mV)", "voltage_volt", 1e3, 1e-4),
            ("Current(uA)", "current_ampere", 1e6, 1e-6),
            ("Total Time", "test_time_second", 1.0, 2e-3),
            ("Step Count", "step_count", 1.0, 0.0),
        ):
            theirs = oracle.column(name).to_numpy().astype(np.float64) / per_unit
            np.testing.assert_allclose(table.floats(ours), theirs, rtol=0.0, atol=tolerance, err_msg=published.name)
        compared += 1

    assert compared == 8
