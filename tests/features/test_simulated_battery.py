"""The simulated battery tells the truth about itself, and real models take it for a real one."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from features.extract import extract
from features.feature_set import FeatureVector, Method
from features.measurement import CanonicalTable, FloatArray
from features.pulse import C_RATES, PULSE_FEATURE_NAMES
from features.vocabulary import Chemistry, Level, RunKind, TableFormat
from models.bundle import Bundle, load_bundle
from tests.support.equivalent_circuit import circuit_of
from tests.support.sample_requests import SAMPLES, sample_requests, sample_text
from tests.support.simulated_battery import STARTED_AT, SimulatedBattery, columns_of
from tests.support.simulated_vehicle import Vehicle

REFERENCE = Path(__file__).parents[2] / "models" / "reference"
TYPES = {
    "LFP20": (Chemistry.LFP, 20.0, (0.69, 0.755, 0.82)),
    "LFP35": (Chemistry.LFP, 35.0, (0.78, 0.87, 0.955)),
    "LMO10": (Chemistry.LMO, 10.0, (0.56, 0.70, 0.92)),
    "NMC21": (Chemistry.NMC, 21.0, (0.82, 0.91, 1.0)),
}
MID_CHARGE = (0.35, 0.45, 0.55)


def measured(battery: SimulatedBattery, kind: RunKind, table: CanonicalTable) -> FeatureVector:
    return extract(battery.history(battery.run(kind, table)), STARTED_AT + timedelta(days=30))


@pytest.fixture(scope="module")
def reference() -> Bundle:
    return load_bundle(REFERENCE)


def simulated_rows(key: str) -> tuple[FloatArray, FloatArray]:
    """Features and truth of trains of one type, over its states of health and mid charge."""
    chemistry, rated_ah, healths = TYPES[key]
    batteries = [SimulatedBattery(rated_ah, health * rated_ah, chemistry) for health in healths]
    trains = [(each, each.pulse_train(state_of_charge=charged)) for each in batteries for charged in MID_CHARGE]
    rows = [measured(battery, RunKind.PULSE_TEST, train).array() for battery, train in trains]
    return np.array(rows), np.repeat(healths, len(MID_CHARGE))


@pytest.mark.parametrize("key", TYPES)
def test_simulated_trains_pass_the_distance_gate_of_models_trained_on_real_cells(key: str, reference: Bundle) -> None:
    rows, _ = simulated_rows(key)
    looks = reference.estimators[Method.PULSE_TEST].looks
    assert looks.distance(rows, PULSE_FEATURE_NAMES, key).max() <= 1.0


@pytest.mark.parametrize("key", TYPES)
def test_models_trained_on_real_cells_read_simulated_trains_within_eight_points_on_average_and_thirteen_at_most(
    key: str, reference: Bundle
) -> None:
    rows, truth = simulated_rows(key)
    read = reference.estimators[Method.PULSE_TEST].predict(rows, PULSE_FEATURE_NAMES, key, (0.8,)).point
    assert np.abs(read - truth).mean() <= 0.08
    assert np.abs(read - truth).max() <= 0.13


@pytest.mark.parametrize("key", TYPES)
def test_a_train_declared_as_another_type_does_not_pass_the_distance_gate(key: str, reference: Bundle) -> None:
    chemistry, rated_ah, healths = TYPES[key]
    battery = SimulatedBattery(rated_ah, healths[1] * rated_ah, chemistry)
    looks = reference.estimators[Method.PULSE_TEST].looks
    for other, (declared_chemistry, declared_ah, _) in TYPES.items():
        if other != key:
            amplitudes = [rate * declared_ah / rated_ah for rate in C_RATES]
            train = battery.pulse_train(amplitudes=amplitudes)
            declared = SimulatedBattery(declared_ah, declared_ah, declared_chemistry)
            row = measured(declared, RunKind.PULSE_TEST, train).array()[np.newaxis, :]
            assert looks.distance(row, PULSE_FEATURE_NAMES, other)[0] > 1.0, other


def test_a_sampled_train_gives_the_features_of_its_step_table() -> None:
    battery = SimulatedBattery(rated_capacity_ah=35.0, remaining_capacity_ah=30.0)
    steps = measured(battery, RunKind.PULSE_TEST, battery.pulse_train())
    samples = measured(battery, RunKind.PULSE_TEST, battery.pulse_record())
    assert steps.findings == samples.findings == ()
    for name in PULSE_FEATURE_NAMES:
        if name.startswith(("instantaneous_resistance", "pulse_end_resistance", "relaxation_ohm")):
            assert samples.values[name] == pytest.approx(steps.values[name], rel=0.03)


def test_a_worn_cell_answers_a_pulse_with_more_voltage_than_a_fresh_one() -> None:
    worn, fresh = (SimulatedBattery(20.0, ah).pulse_train().floats("voltage_end_volt")[1] for ah in (14.0, 16.0))
    assert worn > fresh


@pytest.mark.parametrize("chemistry", [Chemistry.LFP, Chemistry.LMO, Chemistry.NMC])
def test_a_full_capacity_test_measures_the_remaining_capacity(chemistry: Chemistry) -> None:
    battery = SimulatedBattery(100.0, 81.0, chemistry)
    for table in (battery.capacity_test(), battery.capacity_record(noise_volt=1e-3)):
        told = measured(battery, RunKind.CAPACITY_TEST, table)
        assert told.findings == ()
        assert told.values["discharged_capacity_ah"] == pytest.approx(81.0, rel=1e-3)


def test_a_capacity_test_that_stops_early_measures_nothing() -> None:
    battery = SimulatedBattery(100.0, 81.0)
    columns = columns_of(battery.capacity_test())
    columns["voltage_end_volt"][4] = 3.0
    told = measured(battery, RunKind.CAPACITY_TEST, CanonicalTable(TableFormat.STEP_TABLE, columns))
    assert np.isnan(told.values["discharged_capacity_ah"])


def test_a_partial_charge_moves_its_share_of_the_remaining_capacity() -> None:
    table = SimulatedBattery(100.0, 81.0).partial_charge(from_charged=0.2, to_charged=0.7)
    time, current = table.floats("test_time_second"), table.floats("current_ampere")
    assert np.trapezoid(current, time) / 3600.0 == pytest.approx(0.5 * 81.0, rel=1e-6)
    assert np.all(np.diff(table.floats("voltage_volt")) >= 0.0)


def test_a_vehicle_shows_the_capacity_of_its_pack_and_a_sound_one_shows_nothing_else() -> None:
    pack = SimulatedBattery(150.0, 129.0, Chemistry.NMC, level=Level.PACK, series_count=96)
    told = measured(pack, RunKind.FIELD_TELEMETRY, pack.telemetry())
    assert told.values["window_capacity_ah"] == pytest.approx(129.0, rel=0.01)
    assert [each.code for each in told.findings if each.code != "quality.sampling_gap"] == []


def test_a_vehicle_shows_the_faults_it_was_given() -> None:
    pack = SimulatedBattery(150.0, 129.0, Chemistry.NMC, level=Level.PACK, series_count=96)
    faulty = Vehicle(insulation_ohm_per_volt=42.0, alarm_level=3, weak_cell_volt=0.4)
    told = measured(pack, RunKind.FIELD_TELEMETRY, pack.telemetry(faulty))
    assert told.values["insulation_ohm_per_volt"] == pytest.approx(42.0, rel=0.05)
    assert told.values["highest_alarm_level"] == 3.0
    assert any(each.disqualifies for each in told.findings)


def test_noise_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    battery = SimulatedBattery(35.0, 30.0)
    one, same, other = (battery.pulse_train(noise_volt=1e-3, seed=seed) for seed in (7, 7, 8))
    assert one.sha256 == same.sha256
    assert one.sha256 != other.sha256


def test_a_chemistry_without_a_fitted_circuit_is_refused() -> None:
    with pytest.raises(ValueError, match="NCA"):
        circuit_of(Chemistry.NCA, 50.0)


def test_the_shipped_samples_are_what_the_simulator_gives() -> None:
    made = {f"{name}.json": sample_text(request) for name, request in sample_requests().items()}
    shipped = {path.name: path.read_text(encoding="utf-8") for path in SAMPLES.glob("*.json")}
    assert shipped == made
