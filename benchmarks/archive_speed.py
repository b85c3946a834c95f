"""How many leaves per second are exported, and verified in the archive and in the record it came from.

``python -m benchmarks.archive_speed [--entries 10000] [--folder FOLDER]`` writes a record of real decision
leaves (about 12 KB each), 500 to a commit, exports it and verifies both. Rates are per second of this
process's CPU time, the best of three; wall time beside them.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from serving.artifacts import Artifacts
from serving.record.archive_check import verify_archive
from serving.record.archive_write import export_archive
from serving.record.ledger import Ledger
from serving.record.log_key import public_key
from serving.record.sqlite import SqliteStore
from serving.record.verify import VerificationReport, verify_record
from tests.support.graded import graded
from tests.support.record_entries import new_entry

GROUP = 500


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        record, archive = Path(folder) / "record.sqlite", Path(folder) / "archive.zip"
        _written(record, asked.entries)
        key = public_key(record)
        assert key is not None
        began = time.perf_counter()
        export_archive(SqliteStore(record), archive, Artifacts(), [key])
        took = time.perf_counter() - began
        size = archive.stat().st_size / 1e6
        print(f"exported and verified     {asked.entries / took:8.0f} leaves/s wall, {size:.1f} MB")
        for name, verify in (
            ("archive verified", lambda: verify_archive(archive, keys=[key])),
            ("record verified", lambda: verify_record(record, keys=[key])),
        ):
            _measured(name, verify)


def _written(record: Path, entries: int) -> None:
    with Ledger.open(record, "benchmark") as ledger:
        body = {name: value for name, value in graded(ledger).body.items() if name != "upload_due_on"}
        for first in range(0, entries, GROUP):
            numbers = range(first, min(first + GROUP, entries))
            ledger.append_many([new_entry(number, body=body, battery_id=f"B{number // 2}") for number in numbers])


def _measured(name: str, verify: Callable[[], VerificationReport]) -> None:
    times = []
    for _ in range(3):
        began = time.process_time(), time.perf_counter()
        report = verify()
        times.append((time.process_time() - began[0], time.perf_counter() - began[1]))
    cpu, wall = min(times)
    count = report.entry_count
    print(f"{name:25} {count / cpu:8.0f} leaves/s CPU, {count / wall:.0f} wall, intact: {report.is_intact}")


if __name__ == "__main__":
    main()
