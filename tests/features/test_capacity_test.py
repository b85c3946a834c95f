"""A full discharge is the capacity; anything less is a finding and no number."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.capacity_test import (
    CAPACITY_TEST_DEFINITIONS,
    capacity_part,
    capacity_test_features,
)
from features.measurement import BatteryIdentity, CanonicalTable
from features.phases import discharging_capacity_ah
from features.readers.nebula import read_nebula
from features.vocabulary import Chemistry, Level, RunKind, TableFormat

RATED_AH = 20.0
NMC = BatteryIdentity("cell-1", Level.CELL, Chemistry.NMC, RATED_AH)
LFP = BatteryIdentity("cell-2", Level.CELL, Chemistry.LFP, RATED_AH)

Step = tuple[str, float, float, float, float]
"""Type, duration in s, current in A, begin and end voltage."""

CONSTANT_CURRENT: Step = ("charge", 2400.0, 20.0, 3.6, 4.2)
HELD: Step = ("charge", 1500.0, 5.0, 4.2, 4.2)
REST: Step = ("rest", 900.0, 0.0, 4.19, 4.18)
DISCHARGE: Step = ("discharge", 3060.0, -20.0, 4.14, 2.7)  # 17 Ah
FULL_TEST = [CONSTANT_CURRENT, HELD, REST, DISCHARGE]


def table_of(steps: Sequence[Step], celsius: float | None = None) -> CanonicalTable:
    words, duration, current, begin, end = zip(*steps, strict=True)
    columns = {
        "step_index": np.arange(len(steps), dtype=float),
        "step_type": np.array(words),
        "step_duration_second": np.array(duration),
        "current_ampere": np.array(current),
        "voltage_begin_volt": np.array(begin),
        "voltage_end_volt": np.array(end),
    }
    if celsius is not None:
        columns["surface_temperature_celsius"] = np.full(len(steps), celsius)
    return CanonicalTable(TableFormat.STEP_TABLE, columns)


def measured(
    steps: Sequence[Step], identity: BatteryIdentity = NMC, celsius: float | None = None
) -> tuple[dict[str, float], list[str]]:
    values, findings = capacity_test_features(table_of(steps, celsius), identity)
    return values, [each.code for each in findings]


def test_a_full_discharge_after_a_held_charge_is_duration_times_current() -> None:
    values, codes = measured(FULL_TEST, celsius=25.0)
    assert codes == []
    assert values["discharged_capacity_ah"] == pytest.approx(17.0)
    assert values["discharge_rate_c"] == 1.0
    assert (values["discharge_begin_volt"], values["discharge_end_volt"]) == (4.14, 2.7)
    assert values["surface_temperature_celsius"] == 25.0
    assert values["charge_before"] == 1.0
    assert 0.0 < values["discharged_capacity_uncertainty_ah"] / 17.0 < 0.002
    assert list(values) == [each.name for each in CAPACITY_TEST_DEFINITIONS]


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        (
            [("charge", 2400.0, 20.0, 3.6, 4.2), ("rest", 900.0, 0.0, 4.1, 4.05), (*DISCHARGE[:3], 4.0, 2.7)],
            "not_full_discharge",
        ),
        ([("rest", 900.0, 0.0, 3.7, 3.7), ("discharge", 1500.0, -20.0, 3.65, 2.7)], "not_full_discharge"),
        ([CONSTANT_CURRENT, HELD, REST, ("discharge", 1500.0, -20.0, 4.14, 3.55)], "stopped_early"),
        ([CONSTANT_CURRENT, HELD, REST, ("discharge", 3100.0, -20.0, 4.14, 1.9)], "below_cutoff"),
        ([CONSTANT_CURRENT, HELD, REST, ("discharge", 700.0, -60.0, 4.0, 2.7)], "rate_outside"),
        ([CONSTANT_CURRENT, HELD, REST, ("discharge", 70000.0, -1.0, 4.17, 2.7)], "rate_outside"),
        ([CONSTANT_CURRENT, HELD, REST], "no_discharge"),
    ],
)
def test_a_discharge_that_was_not_full_is_a_finding_and_gives_no_capacity(steps: list[Step], code: str) -> None:
    values, codes = measured(steps)
    assert codes == [f"capacity_test.{code}"]
    assert math.isnan(values["discharged_capacity_ah"])
    assert math.isnan(values["discharged_capacity_uncertainty_ah"])


@pytest.mark.parametrize(("celsius", "refused"), [(-5.0, True), (14.9, True), (25.0, False), (35.1, True)])
def test_only_a_discharge_near_room_temperature_counts(celsius: float, refused: bool) -> None:
    values, codes = measured(FULL_TEST, celsius=celsius)
    assert codes == (["capacity_test.temperature_outside"] if refused else [])
    assert math.isnan(values["discharged_capacity_ah"]) is refused


def test_a_bare_discharge_counts_if_it_begins_at_the_voltage_of_a_full_cell_and_says_that_no_charge_was_seen() -> None:
    values, codes = measured([REST, DISCHARGE])
    assert codes == []
    assert values["discharged_capacity_ah"] == pytest.approx(17.0)
    assert values["charge_before"] == 0.0


def test_a_short_rest_after_a_charge_without_hold_does_not_show_a_full_cell() -> None:
    steps = [CONSTANT_CURRENT, ("rest", 30.0, 0.0, 4.19, 4.18), DISCHARGE]
    assert measured(steps)[1] == ["capacity_test.not_full_discharge"]


def test_a_bare_lfp_discharge_from_the_flat_part_of_the_curve_is_not_taken_for_full() -> None:
    steps: list[Step] = [("rest", 900.0, 0.0, 3.33, 3.33), ("discharge", 3060.0, -20.0, 3.28, 2.0)]
    assert measured(steps, LFP)[1] == ["capacity_test.not_full_discharge"]
    charged: list[Step] = [("charge", 900.0, 4.0, 3.65, 3.65), *steps]
    assert measured(charged, LFP)[1] == []


def test_what_was_left_on_arrival_is_not_taken_for_the_capacity_when_a_full_discharge_follows() -> None:
    arrival: Step = ("discharge", 1200.0, -20.0, 3.7, 2.7)
    table = table_of([arrival, REST, *FULL_TEST, REST, CONSTANT_CURRENT, HELD, REST, DISCHARGE])
    part, findings = capacity_part(table)
    assert part.words("step_type").tolist() == ["rest", "charge", "charge", "rest", "discharge"]
    assert [(each.code, dict(each.evidence)) for each in findings] == [
        ("capacity_test.several_discharges", {"discharge": 2, "discharge_count": 3})
    ]
    values, _ = capacity_test_features(table, NMC)
    assert values["discharged_capacity_ah"] == pytest.approx(17.0)
    assert capacity_part(part)[1] == ()


def test_pulses_and_what_follows_the_opening_discharge_are_not_read() -> None:
    after: list[Step] = [
        ("rest", 900.0, 0.0, 3.1, 3.2),
        ("charge", 180.0, 20.0, 3.4, 3.5),
        ("charge", 5.0, 10.0, 3.5, 3.5),
    ]
    part, _ = capacity_part(table_of([*FULL_TEST, *after]))
    assert part.row_count == 4


def test_a_module_needs_the_number_of_cells_in_series() -> None:
    twelve = [(*step[:3], 12 * step[3], 12 * step[4]) for step in FULL_TEST]
    module = BatteryIdentity("m-1", Level.MODULE, Chemistry.NMC, RATED_AH)
    assert measured(twelve, module)[1] == ["capacity_test.series_count_missing"]
    counted = BatteryIdentity("m-1", Level.MODULE, Chemistry.NMC, RATED_AH, series_count=12)
    values, codes = measured(twelve, counted)
    assert codes == []
    assert values["discharged_capacity_ah"] == pytest.approx(17.0)


def test_a_chemistry_without_known_cut_off_gives_no_capacity() -> None:
    unknown = BatteryIdentity("cell-3", Level.CELL, Chemistry.UNKNOWN, RATED_AH)
    assert measured(FULL_TEST, unknown)[1] == ["capacity_test.chemistry_not_judged"]


def sampled(interval_second: float = 10.0, taper_second: float = 600.0) -> dict[str, np.ndarray]:
    """CC-CV charge, rest and a 17 Ah discharge of an NMC cell as a record."""
    steps = [
        (2400.0, lambda s: np.full_like(s, 20.0), lambda s: 3.6 + 0.6 * s / 2400.0),
        (2.0 * taper_second, lambda s: 20.0 * np.exp(-s / taper_second * 1.5), lambda s: np.full_like(s, 4.2)),
        (900.0, np.zeros_like, lambda s: np.full_like(s, 4.18)),
        (3060.0 + interval_second, lambda s: np.full_like(s, -20.0), lambda s: 4.14 - 1.44 * s / 3060.0),
    ]
    amperes, volts = [], []
    for duration, current, voltage in steps:
        second = np.arange(0.0, duration, interval_second)
        amperes.append(current(second))
        volts.append(voltage(second))
    current_ampere = np.concatenate(amperes)
    return {
        "test_time_second": np.arange(len(current_ampere)) * interval_second,
        "voltage_volt": np.concatenate(volts),
        "current_ampere": current_ampere,
    }


def of_record(columns: dict[str, np.ndarray]) -> tuple[dict[str, float], list[str]]:
    values, findings = capacity_test_features(CanonicalTable(TableFormat.TIMESERIES, columns), NMC)
    return values, [each.code for each in findings]


def test_a_sampled_discharge_is_integrated_by_the_trapezoidal_rule_over_its_samples() -> None:
    values, codes = of_record(sampled())
    assert codes == []
    assert values["discharged_capacity_ah"] == pytest.approx(17.0)
    assert values["integration_interval_count"] == 306
    assert values["charge_before"] == 1.0


def test_a_gap_of_five_minutes_in_the_discharge_gives_no_capacity() -> None:
    columns = sampled()
    keep = np.ones(len(columns["current_ampere"]), dtype=bool)
    keep[-200:-170] = False
    values, codes = of_record({name: each[keep] for name, each in columns.items()})
    assert codes == ["capacity_test.current_gap"]
    assert math.isnan(values["discharged_capacity_ah"])


def test_one_sample_a_minute_is_no_gap_because_it_makes_fifty_intervals() -> None:
    values, codes = of_record(sampled(interval_second=60.0))
    assert codes == []
    assert values["integration_interval_count"] == 51


def test_a_driving_cycle_is_no_capacity_test() -> None:
    columns = sampled()
    columns["current_ampere"][-250::2] = -10.0
    assert of_record(columns)[1] == ["capacity_test.current_uneven"]


def test_a_paused_discharge_stopped_early() -> None:
    columns = sampled()
    columns["current_ampere"][-100:-90] = 0.0
    assert of_record(columns)[1] == ["capacity_test.several_discharges", "capacity_test.stopped_early"]


def test_two_samples_are_the_least_that_can_be_integrated() -> None:
    with pytest.raises(ValueError, match="same length of 2 or more"):
        discharging_capacity_ah(np.array([0.0]), np.array([-1.0]))


@pytest.mark.real_data
@pytest.mark.parametrize(("family", "rated_capacity_ah"), [("LMO", 10.0), ("NMC", 21.0)])
def test_the_opening_discharge_of_the_genuine_exports_is_the_published_capacity(
    data_dir: Path, family: str, rated_capacity_ah: float
) -> None:
    (path,) = (data_dir / "pulse_retired" / "nebula_exports").glob(f"{family}_*.xlsx")
    identity = BatteryIdentity("x", Level.CELL, Chemistry(family), rated_capacity_ah)
    values, findings = capacity_test_features(read_nebula(path, RunKind.CAPACITY_TEST).table, identity)
    published = pd.read_parquet(data_dir / "pulse_retired" / "pulse_features.parquet")
    of_cell = published[(published.serial == path.stem.split("_ID_")[1]) & (published.test_kind == "soc_grid")]
    assert findings == ()
    assert values["charge_before"] == 1.0
    assert values["discharged_capacity_ah"] == pytest.approx(float(of_cell.capacity_ah.iloc[0]), abs=1e-4)
