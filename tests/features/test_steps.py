"""Pulse trains are found by state and current, and nothing invalid becomes a number."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import InvalidInput
from features.measurement import CanonicalTable
from features.pulse import PulseTrain
from features.readers.nebula import read_nebula
from features.step_detection import step_table
from features.steps import FoundTrain, found_trains, graded_train, pulse_part, pulse_trains
from features.vocabulary import RunKind, TableFormat

RATED_AH = 20.0
LADDER_C = (0.5, 1.0, 1.5, 2.0, 2.5)

Step = tuple[str, float, float, float, float]
"""Type, duration in s, current in A, begin and end voltage."""

LONG_REST: Step = ("rest", 600.0, 0.0, 3.31, 3.30)
ADJUSTMENT: Step = ("charge", 180.0, 20.0, 3.32, 3.36)


def pulse(c_rate: float, width_second: float = 5.0, end_volt: float | None = None) -> list[Step]:
    """A pulse and its rest on a battery of 0.1 ohm·Ah at once and 0.15 at the end."""
    begin, end = 3.30 + 0.1 * c_rate, 3.30 + 0.15 * c_rate
    kind = "charge" if c_rate > 0.0 else "discharge"
    return [
        (kind, width_second, c_rate * RATED_AH, begin, end if end_volt is None else end_volt),
        ("rest", 15.0 * width_second, 0.0, 3.30 + 0.05 * c_rate, 3.30),
    ]


def ladder(width_second: float = 5.0, rates: Sequence[float] = LADDER_C) -> list[Step]:
    return [step for rate in rates for sign in (1.0, -1.0) for step in pulse(sign * rate, width_second)]


def table_of(
    steps: Sequence[Step], index: Sequence[float] | None = None, celsius: float | None = None
) -> CanonicalTable:
    words, duration, current, begin, end = zip(*steps, strict=True)
    columns = {
        "step_index": np.array(range(len(steps)) if index is None else index, dtype=float),
        "step_type": np.array(words),
        "step_duration_second": np.array(duration),
        "current_ampere": np.array(current),
        "voltage_begin_volt": np.array(begin),
        "voltage_end_volt": np.array(end),
    }
    if celsius is not None:
        columns["surface_temperature_celsius"] = np.full(len(steps), celsius)
    return CanonicalTable(TableFormat.STEP_TABLE, columns)


def graded(steps: Sequence[Step], train: int | None = None) -> tuple[FoundTrain, dict[str, dict[str, object]]]:
    found, findings = graded_train(table_of(steps), RATED_AH, train)
    assert found is not None
    return found, {each.code: dict(each.evidence) for each in findings}


def widths(trains: Sequence[PulseTrain]) -> list[float]:
    return [train.pulses[0].duration_second for train in trains]


def test_a_rest_and_a_ladder_of_ten_pulses_are_one_train_with_the_end_of_the_rest_as_open_circuit_voltage() -> None:
    found, findings = graded([LONG_REST, *ladder()])
    assert len(found.train.pulses) == 10
    assert found.train.open_circuit_voltage_volt == 3.30
    assert found.train.rest_before_second == 600.0
    first = found.train.pulses[0]
    assert (first.current_ampere, first.begin_volt, first.end_volt) == (10.0, pytest.approx(3.35), pytest.approx(3.375))
    assert (first.relaxation_begin_volt, first.relaxation_end_volt) == (pytest.approx(3.325), 3.30)
    assert first.relaxation_duration_second == 75.0
    assert findings == {}


@pytest.mark.parametrize(
    "rates", [[1.0], [-2.0], [0.5, 1.0, 2.5], [2.5, 2.0, -0.5, -2.0, 1.0], [-1.0, 1.0, -0.5, 0.5], [1.25, -1.25]]
)
def test_one_pulse_only_charges_few_amplitudes_or_another_order_are_a_train(rates: list[float]) -> None:
    trains = pulse_trains(table_of([LONG_REST, *(step for rate in rates for step in pulse(rate))]), RATED_AH)
    assert [[each.current_ampere / RATED_AH for each in train.pulses] for train in trains] == [pytest.approx(rates)]


@pytest.mark.parametrize("width_second", [0.03, 0.1, 1.0, 5.0, 18.0, 40.0])
def test_pulses_of_30_ms_to_40_s_are_found(width_second: float) -> None:
    trains = pulse_trains(table_of([LONG_REST, *ladder(width_second, rates=(0.5, 1.0))]), RATED_AH)
    assert widths(trains) == [width_second]


def test_an_amplitude_that_comes_back_starts_a_new_train() -> None:
    assert len(pulse_trains(table_of([LONG_REST, *ladder(), *ladder()]), RATED_AH)) == 2


def test_another_pulse_width_starts_a_new_train_although_no_amplitude_comes_back() -> None:
    steps = [LONG_REST, *ladder(0.03, (0.5, 1.0)), *ladder(5.0, (1.5, 2.0))]
    assert widths(pulse_trains(table_of(steps), RATED_AH)) == [0.03, 5.0]


def test_a_change_of_the_state_of_charge_starts_a_new_train() -> None:
    steps = [LONG_REST, *pulse(0.5), *pulse(-0.5), ADJUSTMENT, ("rest", 60.0, 0.0, 3.4, 3.35), *pulse(1.0)]
    trains = pulse_trains(table_of(steps), RATED_AH)
    assert [len(train.pulses) for train in trains] == [2, 1]
    assert trains[1].open_circuit_voltage_volt == 3.35


def test_a_rest_of_ten_minutes_among_rests_of_75_s_starts_a_new_train() -> None:
    steps = [LONG_REST, *pulse(0.5), *pulse(-0.5), *pulse(1.0), LONG_REST, *pulse(1.5)]
    assert [len(train.pulses) for train in pulse_trains(table_of(steps), RATED_AH)] == [3, 1]


def test_rests_of_ten_minutes_between_all_pulses_keep_them_in_one_train() -> None:
    steps = [LONG_REST, *(step for rate in (0.5, -0.5, 1.0) for step in (pulse(rate)[0], LONG_REST))]
    assert [len(train.pulses) for train in pulse_trains(table_of(steps), RATED_AH)] == [3]


@pytest.mark.parametrize(
    "step",
    [
        ("charge", 61.0, 10.0, 3.35, 3.38),  # too long
        ("charge", 50.0, 50.0, 3.55, 3.60),  # 3.5 % of the rated charge
        ("charge", 5.0, 1.0, 3.31, 3.31),  # a contact check at 0.05 C
        ("discharge", 3600.0, -20.0, 3.2, 2.5),
    ],
)
def test_long_steps_much_charge_and_contact_checks_are_no_pulses(step: Step) -> None:
    found, findings = graded_train(table_of([LONG_REST, step, LONG_REST]), RATED_AH)
    assert found is None
    assert [each.code for each in findings] == ["pulse.no_train"]


def test_the_short_constant_current_part_of_a_charge_is_no_pulse() -> None:
    steps = [LONG_REST, ("charge", 20.0, 20.0, 3.5, 3.65), ("charge", 900.0, 5.0, 3.65, 3.65), LONG_REST]
    assert pulse_trains(table_of(steps), RATED_AH) == ()


def test_the_first_of_several_trains_is_graded_and_the_note_says_which_of_how_many() -> None:
    found, findings = graded([LONG_REST, *ladder(1.0), *ladder(5.0)])
    assert found.train.pulses[0].duration_second == 1.0
    several = findings["pulse.several_trains"]
    assert (several["train"], several["train_count"], several["first_step"]) == (1, 2, 1.0)
    assert several["first_train_of_width"] == "1 s train=1, 5 s train=2"


def test_a_train_can_be_asked_for_and_one_too_many_is_refused_with_the_count() -> None:
    steps = [LONG_REST, *ladder(1.0), *ladder(5.0)]
    assert graded(steps, train=2)[0].train.pulses[0].duration_second == 5.0
    with pytest.raises(InvalidInput, match=r"train: the test holds 2 pulse trains, counted from 1 \(got 3\)"):
        graded_train(table_of(steps), RATED_AH, 3)


@pytest.mark.parametrize("seen_second", [1.8, 4.0, 6.5])
def test_a_pulse_that_a_voltage_limit_ended_keeps_its_begin_and_loses_the_rest(seen_second: float) -> None:
    cut = [(pulse(2.5)[0][0], seen_second, *pulse(2.5, end_volt=4.3)[0][2:]), pulse(2.5)[1]]
    found, findings = graded([LONG_REST, *ladder(rates=LADDER_C[:4]), *cut, *pulse(-2.5)])
    assert len(found.train.pulses) == 10
    ended = found.train.pulses[8]
    assert ended.begin_volt == pytest.approx(3.55)
    assert math.isnan(ended.end_volt)
    assert math.isnan(ended.relaxation_begin_volt)
    assert findings["pulse.truncated_by_protection"]["pulse_count"] == 1
    assert found.train.pulses[9].rest_before_volt == 3.30


def test_pulses_of_equal_width_are_not_called_truncated() -> None:
    assert "pulse.truncated_by_protection" not in graded([LONG_REST, *ladder()])[1]


def test_the_last_charge_of_a_charge_only_ladder_may_be_the_one_cut_short() -> None:
    steps = [LONG_REST, *pulse(0.5), *pulse(1.0), *pulse(1.5), *pulse(2.0, 0.6, end_volt=4.3)]
    found, findings = graded(steps)
    assert len(found.train.pulses) == 4
    assert found.truncated_steps == (7.0,)
    assert "pulse.truncated_by_protection" in findings


def test_a_missing_rest_between_two_pulses_is_a_finding_and_its_voltages_are_not_measured() -> None:
    found, findings = graded([LONG_REST, pulse(0.5)[0], *pulse(-0.5), *pulse(1.0)])
    first, second, third = found.train.pulses
    assert math.isnan(first.relaxation_begin_volt)
    assert math.isnan(second.rest_before_volt)
    assert second.relaxation_end_volt == third.rest_before_volt == 3.30
    assert findings["pulse.rest_missing"]["pulse_count"] == 2


def test_a_train_that_starts_without_a_rest_has_no_open_circuit_voltage() -> None:
    found, findings = graded([ADJUSTMENT, *pulse(-0.5), *pulse(0.5)])
    assert math.isnan(found.train.open_circuit_voltage_volt)
    assert "pulse.rest_missing" in findings


def test_a_pulse_before_a_left_out_step_does_not_take_a_later_rest_for_its_own() -> None:
    steps = [LONG_REST, *pulse(0.5), *pulse(-0.5)]
    first, second = pulse_trains(table_of(steps, index=[0, 1, 5, 6, 7]), RATED_AH)
    assert math.isnan(first.pulses[0].relaxation_begin_volt)
    assert second.open_circuit_voltage_volt == 3.30


@pytest.mark.parametrize(("rest_second", "cautioned"), [(299.0, True), (300.0, False)])
def test_a_rest_before_the_train_under_five_minutes_is_a_caution(rest_second: float, cautioned: bool) -> None:
    findings = graded([("rest", rest_second, 0.0, 3.3, 3.3), *ladder()])[1]
    assert ("pulse.rest_short" in findings) is cautioned


@pytest.mark.parametrize(("celsius", "cautioned"), [(5.0, True), (25.0, False), (None, False)])
def test_pulses_away_from_25_degrees_are_a_caution(celsius: float | None, cautioned: bool) -> None:
    _, findings = graded_train(table_of([LONG_REST, *ladder()], celsius=celsius), RATED_AH)
    assert ("pulse.temperature_off_reference" in {each.code for each in findings}) is cautioned


DISCHARGE: Step = ("discharge", 3000.0, -20.0, 3.2, 2.5)


def longer_steps(steps: Sequence[Step]) -> list[str]:
    """Types of the steps under current that a pulse test reads and that are no pulses."""
    part = pulse_part(table_of(steps), RATED_AH)
    assert part is not None
    long = (part.floats("step_duration_second") > 5.0) & (part.words("step_type") != "rest")
    return [str(word) for word in part.words("step_type")[long]]


def test_a_pulse_test_reads_neither_the_discharge_nor_the_charging_from_empty() -> None:
    assert longer_steps([LONG_REST, DISCHARGE, LONG_REST, ADJUSTMENT, LONG_REST, *ladder()]) == []


def test_a_charge_between_two_trains_is_part_of_the_pulse_test_and_one_after_the_last_is_not() -> None:
    campaign = [LONG_REST, DISCHARGE, LONG_REST, *ladder(), ADJUSTMENT, LONG_REST, *ladder(), ADJUSTMENT, LONG_REST]
    assert longer_steps(campaign) == ["charge"]


def test_a_charge_between_two_trains_with_a_discharge_beside_it_is_not_read() -> None:
    assert longer_steps([LONG_REST, *ladder(), DISCHARGE, LONG_REST, ADJUSTMENT, LONG_REST, *ladder()]) == []


def test_the_cut_part_gives_the_same_trains_as_the_whole_campaign_and_can_be_cut_again() -> None:
    campaign = table_of([LONG_REST, ADJUSTMENT, LONG_REST, *ladder(1.0), *ladder(), ADJUSTMENT, LONG_REST, *pulse(1.0)])
    part = pulse_part(campaign, RATED_AH)
    assert part is not None
    again = pulse_part(part, RATED_AH)
    assert again is not None
    whole = pulse_trains(campaign, RATED_AH)
    assert len(whole) == 3
    assert pulse_trains(part, RATED_AH) == whole
    assert pulse_trains(again, RATED_AH) == whole


def test_a_left_out_change_of_the_state_of_charge_still_parts_two_trains_and_a_left_out_pulse_does_not() -> None:
    short_rest: Step = ("rest", 120.0, 0.0, 3.4, 3.35)
    steps_on = [LONG_REST, *pulse(0.5), ADJUSTMENT, DISCHARGE, short_rest, *pulse(1.0)]
    adjusted = pulse_part(table_of(steps_on), RATED_AH)
    assert adjusted is not None
    assert adjusted.row_count == len(steps_on) - 2
    assert [len(train.pulses) for train in pulse_trains(adjusted, RATED_AH)] == [1, 1]
    steps = [LONG_REST, *pulse(0.5), pulse(-0.5)[1], *pulse(1.0)]
    (train,) = pulse_trains(table_of(steps, index=[0, 1, 2, 4, 5, 6]), RATED_AH)
    assert len(train.pulses) == 2


def test_a_test_without_pulses_leaves_its_rests_and_one_without_rests_leaves_nothing() -> None:
    rests = pulse_part(table_of([LONG_REST, ADJUSTMENT]), RATED_AH)
    assert rests is not None
    assert rests.row_count == 1
    assert pulse_part(table_of([ADJUSTMENT]), RATED_AH) is None


def sampled(steps: Sequence[Step], interval_second: float, noise_ampere: float = 0.0) -> CanonicalTable:
    rng = np.random.default_rng(7)
    volt, current = [], []
    for _, duration, ampere, begin, end in steps:
        count = round(duration / interval_second)
        volt.append(np.linspace(begin, end, count))
        current.append(np.full(count, ampere))
    amperes = np.concatenate(current)
    columns = {
        "test_time_second": np.arange(len(amperes)) * interval_second,
        "voltage_volt": np.concatenate(volt),
        "current_ampere": amperes + rng.normal(0.0, noise_ampere, len(amperes)),
    }
    return CanonicalTable(TableFormat.TIMESERIES, columns)


def test_a_noisy_record_at_10_hz_gives_the_trains_of_its_steps() -> None:
    steps = [LONG_REST, *ladder(3.0)]
    (train,) = pulse_trains(sampled(steps, 0.1, noise_ampere=0.05), RATED_AH)
    (expected,) = pulse_trains(table_of(steps), RATED_AH)
    assert len(train.pulses) == 10
    for seen, wanted in zip(train.pulses, expected.pulses, strict=True):
        assert seen.current_ampere == pytest.approx(wanted.current_ampere, abs=0.05)
        assert seen.duration_second == pytest.approx(3.0, abs=0.11)
        assert seen.begin_volt == wanted.begin_volt
        assert seen.relaxation_end_volt == wanted.relaxation_end_volt


def test_the_part_of_a_record_that_a_pulse_test_may_read_is_a_step_table_of_its_pulses() -> None:
    discharge: Step = ("discharge", 600.0, -20.0, 3.2, 2.8)
    part = pulse_part(sampled([LONG_REST, discharge, LONG_REST, *pulse(1.0)], 0.1), RATED_AH)
    assert part is not None
    assert part.format is TableFormat.STEP_TABLE
    assert part.words("step_type").tolist() == ["rest", "charge", "rest"]
    assert part.floats("step_index").tolist() == [2.0, 3.0, 4.0]


def test_a_sample_caught_on_the_edge_belongs_to_no_step() -> None:
    record = sampled([LONG_REST, *pulse(1.0)], 0.1)
    columns = {name: np.array(values) for name, values in record.columns.items()}
    columns["current_ampere"][6000] = 9.0  # half way up to 20 A
    steps = step_table(CanonicalTable(TableFormat.TIMESERIES, columns))
    assert steps.words("step_type").tolist() == ["rest", "charge", "rest"]
    assert steps.floats("current_ampere")[1] == pytest.approx(20.0)


def test_a_pulse_sampled_once_a_second_is_refused_saying_how_fast_it_must_be() -> None:
    with pytest.raises(InvalidInput, match=r"every 0\.1 s or faster.*got 1 s"):
        found_trains(sampled([LONG_REST, *ladder()], 1.0), RATED_AH)


def test_slow_sampling_outside_pulses_is_no_fault() -> None:
    slow_rest = np.arange(0.0, 600.0, 10.0)
    record = sampled(pulse(1.0), 0.1)
    columns = {
        "test_time_second": np.concatenate((slow_rest, 600.0 + record.floats("test_time_second"))),
        "voltage_volt": np.concatenate((np.full(60, 3.30), record.floats("voltage_volt"))),
        "current_ampere": np.concatenate((np.zeros(60), record.floats("current_ampere"))),
    }
    (train,) = pulse_trains(CanonicalTable(TableFormat.TIMESERIES, columns), RATED_AH)
    assert train.rest_before_second == 600.0


@pytest.mark.real_data
@pytest.mark.parametrize(("family", "rated_capacity_ah", "train_count"), [("LMO", 10.0, 110), ("NMC", 21.0, 180)])
def test_trains_of_the_genuine_exports_equal_the_published_turning_points(
    data_dir: Path, family: str, rated_capacity_ah: float, train_count: int
) -> None:
    (path,) = (data_dir / "pulse_retired" / "nebula_exports").glob(f"{family}_*.xlsx")
    trains = pulse_trains(read_nebula(path, RunKind.PULSE_TEST).table, rated_capacity_ah)
    assert len(trains) == train_count
    published = pd.read_parquet(data_dir / "pulse_retired" / "pulse_features.parquet")
    of_cell = published[(published.serial == path.stem.split("_ID_")[1]) & (published.test_kind == "soc_grid")]
    compared = 0
    for width_ms in (3000, 5000):
        ours = [train for train in trains if abs(train.pulses[0].duration_second - width_ms / 1000.0) < 0.02]
        rows = of_cell[(of_cell.width_ms == width_ms) & ~of_cell.misaligned_row].sort_values("soc_pct")
        table = rows[[f"U{number}" for number in range(1, 42)]].to_numpy(dtype=np.float64)
        for train, row in zip(ours, table, strict=False):
            points = turning_points(train)
            both = ~np.isnan(points) & ~np.isnan(row)
            np.testing.assert_allclose(points[both], row[both], atol=1e-6)
            compared += int(both.sum())
    assert compared == {"LMO": 605, "NMC": 948}[family]  # of 620 and 948 published, the rest was cut short


def turning_points(train: PulseTrain) -> np.ndarray:
    points = [train.open_circuit_voltage_volt]
    for each in train.pulses:
        points += [each.begin_volt, each.end_volt, each.relaxation_begin_volt, each.relaxation_end_volt]
    return np.array(points + [np.nan] * (41 - len(points)))
