from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving.record.ledger import Ledger
from serving.record.verify import verify_record
from tests.support.record_entries import WRITTEN_AT, new_entry
from tests.support.record_writer import survived


def test_no_acknowledged_decision_is_lost_doubled_or_changed_by_two_hundred_kills(tmp_path: Path) -> None:
    survival = survived(tmp_path / "record.sqlite", kills=200, seed=20261122)
    print(survival)
    assert survival.acknowledged > 200


@pytest.mark.long
def test_no_acknowledged_decision_is_lost_doubled_or_changed_by_five_thousand_kills(tmp_path: Path) -> None:
    survival = survived(tmp_path / "record.sqlite", kills=5000, seed=20261123)
    print(survival)
    assert survival.acknowledged > 5000


def test_a_clock_that_jumps_years_back_and_forth_changes_neither_order_nor_soundness(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    moments = [
        WRITTEN_AT,
        WRITTEN_AT + timedelta(days=3652),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2099, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        WRITTEN_AT - timedelta(days=7305),
        WRITTEN_AT,
    ]
    with Ledger.open(path, "0.1.0") as ledger:
        for number, moment in enumerate(moments):
            ledger.append(new_entry(number, battery_id="BATTERY", recorded_at=moment))
        in_order = [each.leaf.idempotency_key for each in ledger]
        of_battery = [each.leaf.idempotency_key for each in ledger.by_battery("BATTERY")]
    assert in_order == of_battery == [f"key-{number}" for number in range(len(moments))]
    assert verify_record(path).is_intact
