import numpy as np
import pytest

from features.vocabulary import Chemistry
from training.fleet.aged_cell import AgedCell, Ageing
from training.fleet.order import FleetOrder
from training.fleet.pack import Pack, drawn_pack
from training.fleet.recorded import Driven, recorded
from training.fleet.use import drawn_use


class StraightCells:
    """Cells whose capacity falls with the lithium they lost, one for one."""

    fresh_capacity_ah = 5.0

    def aged(self, ageing: Ageing) -> AgedCell:
        return AgedCell(ageing, 5.0 * (1.0 - ageing.lithium_fraction), 0.9, 0.26, 5.8, 8.7)


def a_pack(capacity_ah: list[float], below_full_ah: list[float], leakage_ampere: float = 0.0) -> Pack:
    cells = tuple(
        AgedCell(Ageing(0.1, 0.0, 0.0, 0.01, leakage_ampere if number == 0 else 0.0), each, 0.9, 0.26, 5.8, 8.7)
        for number, each in enumerate(capacity_ah)
    )
    return Pack("P", Chemistry.NMC, 150.0, cells, np.array(below_full_ah), 30.0, None)


def test_a_string_holds_what_its_weakest_group_holds():
    assert a_pack([4.0, 4.5, 3.8], [0.0, 0.0, 0.0]).remaining_capacity_ah(0.0) == pytest.approx(30.0 * 3.8)


def test_a_group_that_is_not_full_with_the_others_takes_its_lack_from_the_string():
    assert a_pack([4.0, 4.5, 4.4], [0.3, 0.0, 0.1]).remaining_capacity_ah(0.0) == pytest.approx(30.0 * 3.7)


def test_a_leaking_group_takes_capacity_with_time():
    pack = a_pack([4.0, 4.0], [0.0, 0.0], leakage_ampere=0.01)
    assert pack.remaining_capacity_ah(20.0) == pytest.approx(30.0 * 3.8)


def test_the_truth_says_what_a_weak_group_lost_and_nothing_without_one():
    assert a_pack([4.0, 4.0], [0.0, 0.0], leakage_ampere=0.01).weak_group_lost_ah(20.0) == pytest.approx(30.0 * 0.2)
    assert a_pack([4.0, 4.0], [0.0, 0.0]).weak_group_lost_ah(20.0) == 0.0


def test_a_drawn_pack_is_the_same_for_the_same_chance_and_has_its_groups():
    packs = [drawn_pack("P", StraightCells(), Chemistry.LFP, 12, 30.0, np.random.default_rng(5)) for _ in range(2)]
    assert len(packs[0].cells) == 12
    assert packs[0].cells == packs[1].cells
    assert 0.4 < packs[0].remaining_capacity_ah(30.0) / packs[0].rated_capacity_ah < 1.0


@pytest.fixture(scope="module")
def telemetry():
    chance = np.random.default_rng(11)
    use = drawn_use(FleetOrder(1, day_count=3), chance)
    charged = use.first_charged_fraction + np.cumsum(use.rate) * 30.0 / 3600.0
    driven = Driven(use, 130.0 * use.rate, charged, np.tile(3.4 + 0.6 * charged, (4, 1)))
    return recorded(a_pack([4.0] * 4, [0.0] * 4), driven, 1.76e9, chance), len(use.rate)


def test_the_bms_reports_whole_percents_tenths_of_amperes_and_millivolts(telemetry):
    table, _ = telemetry
    assert np.all(table["reported_soc_percent"] % 1.0 == 0.0)
    for name, step in (("pack_current_ampere", 0.1), ("pack_voltage_volt", 0.1), ("cell_voltage_1_volt", 0.001)):
        reported = table[name].dropna()
        assert np.allclose(reported / step, np.round(reported / step), atol=1e-6)


def test_rows_are_missing_and_time_still_runs_forward(telemetry):
    table, sent = telemetry
    assert 0.9 * sent < len(table) < sent
    assert np.all(np.diff(table["unix_time_second"]) > 0.0)


def test_the_extremes_are_those_of_the_groups_unless_the_list_stands_still(telemetry):
    table, _ = telemetry
    groups = table.filter(regex="cell_voltage_[0-9]")
    assert groups.shape[1] == 4
    listed = groups.notna().all(axis=1)
    differs = groups[listed].max(axis=1) != table.loc[listed, "cell_voltage_max_volt"]
    assert 0 < differs.sum() <= 3 * 8


def test_what_the_bms_marked_invalid_is_missing_and_no_number(telemetry):
    table, _ = telemetry
    missing = table.isna().mean()
    for name in ("pack_current_ampere", "probe_temperature_max_celsius", "cell_voltage_1_volt"):
        assert 0.0 < missing[name] < 0.01
    assert missing["unix_time_second"] == missing["pack_voltage_volt"] == missing["reported_soc_percent"] == 0.0
    assert table["pack_current_ampere"].abs().max() < 500.0


def test_a_list_of_cells_is_missing_as_a_whole(telemetry):
    table, _ = telemetry
    missing = table.filter(regex="cell_voltage_[0-9]").isna()
    assert missing.any(axis=1).equals(missing.all(axis=1))
