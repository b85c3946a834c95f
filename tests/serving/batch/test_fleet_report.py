import re
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.batch.drift import FEWEST_BATTERIES, TypeDrift, fleet_drift, type_name
from serving.batch.fleet_report import Fleet, fleet_page
from serving.batch.local import run_batch
from serving.batch.manifest import read_manifest
from serving.grading import Grader
from serving.record.ledger import Ledger
from tests.support.batch_fleet import simulated_cells, written_fleet
from tests.support.cases import MOMENT


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    orders = list(read_manifest(written_fleet(folder, simulated_cells(20))))
    orders[3] = replace(orders[3], runs=(replace(orders[3].runs[0], path=folder / "<script>.parquet"),))
    orders = [replace(order, district="Yubei <b>" if n % 2 else "Banan") for n, order in enumerate(orders)]
    with Ledger.open(folder / "record.sqlite", "test") as ledger:
        grader = Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)
        rows = run_batch(grader, orders, "fleet", MOMENT)
        grades = tuple(band.name for band in grader.policy.bands)
        yield Fleet(tuple(orders), tuple(rows), grader.bundle, grades, grader.policy.cuts, "policy example", MOMENT)


def test_the_page_loads_nothing_runs_nothing_and_shows_hostile_text_as_text(fleet: Fleet) -> None:
    shown = fleet_page(fleet)
    assert "<script" not in shown
    assert not re.search(r"(src|href)=", shown)
    assert "Yubei <b>" not in shown
    assert "Yubei &lt;b&gt;" in shown
    for drawn in re.findall(r"<svg.*?</svg>", shown):
        ElementTree.fromstring(drawn)


def test_the_page_tells_the_counts_the_mix_and_the_weakest(fleet: Fleet) -> None:
    shown = fleet_page(fleet)
    assert "<td class='words'>all</td><td>20</td>" in shown
    assert "<td class='words'>error</td><td>1</td>" in shown
    assert "LFP35 (20)" in shown
    assert "Banan (10)" in shown
    weakest = min((row for row in fleet.rows if row.state_of_health_fraction), key=lambda row: row.battery_id)
    assert weakest.battery_id in shown
    assert "UNREADABLE_FILE" in shown


def test_a_fleet_without_districts_has_no_section_of_them(fleet: Fleet) -> None:
    orders = tuple(replace(order, district=None) for order in fleet.orders)
    assert "By district" not in fleet_page(replace(fleet, orders=orders))
    assert "By district" in fleet_page(fleet)


def test_a_fleet_of_nothing_but_errors_has_a_page(fleet: Fleet) -> None:
    broken = replace(fleet, orders=fleet.orders[3:4], rows=fleet.rows[3:4])
    assert "No trained type has enough batteries" in fleet_page(broken)


def test_drift_is_the_largest_difference_of_the_two_distributions() -> None:
    same = TypeDrift("LFP35", "pulse_test", np.linspace(0.7, 0.9, 50), np.linspace(0.7, 0.9, 50))
    assert (same.distance, same.differs, same.outside_share) == (0.0, False, 0.0)
    older = TypeDrift("LFP35", "pulse_test", np.linspace(0.5, 0.65, 50), np.linspace(0.7, 0.9, 50))
    assert (older.distance, older.differs, older.outside_share) == (1.0, True, 1.0)
    half = TypeDrift("LFP35", "pulse_test", np.array([0.6] * 5 + [0.8] * 5), np.array([0.7, 0.9]))
    assert half.distance == pytest.approx(0.5)


def test_drift_is_told_of_trained_types_with_enough_batteries(fleet: Fleet) -> None:
    (found,) = fleet_drift(fleet.bundle, fleet.types, fleet.rows)
    assert (found.type_key, found.method, len(found.fleet)) == ("LFP35", "pulse_test", 19)
    few = FEWEST_BATTERIES - 1
    assert fleet_drift(fleet.bundle, fleet.types[4 : 4 + few], fleet.rows[4 : 4 + few]) == []


def test_a_type_that_was_not_trained_is_told_as_it_is_declared(fleet: Fleet) -> None:
    known = fleet.orders[0].identity
    assert type_name(fleet.bundle, known) == "LFP35"
    assert type_name(fleet.bundle, replace(known, rated_capacity_ah=60.0)) == "LFP 60 Ah cell, not trained"
    assert type_name(fleet.bundle, None) == "not declared"
