import math
from dataclasses import replace

import numpy as np
import pytest

from features.extract import extract
from features.feature_set import FEATURE_SETS, Method
from features.impedance import impedance_features, slowing_factor
from features.measurement import BatteryIdentity, CanonicalTable
from features.vocabulary import Chemistry, Level, RunKind, TableFormat
from tests.support.simulated_battery import STARTED_AT, SimulatedBattery, columns_of
from tests.support.simulated_spectrum import USUAL_HERTZ, SpectrumCircuit, spectrum_table

CIRCUIT = SpectrumCircuit()
CELL = BatteryIdentity("CELL", Level.CELL, Chemistry.NMC, 50.0)
AT_25C = [name for name in FEATURE_SETS[Method.IMPEDANCE].names if name.endswith("_at_25c")]


def measured(circuit: SpectrumCircuit = CIRCUIT, identity: BatteryIdentity = CELL, **how: object):
    return impedance_features(spectrum_table(circuit, identity.rated_capacity_ah, **how), identity)


def codes(findings) -> list[str]:
    return [each.code for each in findings]


def without_temperature_scaled(values: dict[str, float]) -> list[float]:
    return [values[name] for name in AT_25C]


def changed(table: CanonicalTable, **columns: object) -> CanonicalTable:
    return CanonicalTable(TableFormat.SPECTRUM, {**columns_of(table), **columns})


def test_the_values_of_a_known_circuit_are_found_and_nothing_is_remarked() -> None:
    values, findings = measured(replace(CIRCUIT, film_ohm_ah=0.0, warburg_ohm_ah=0.0, charge_transfer_second=0.016))
    assert findings == ()
    assert tuple(values) == FEATURE_SETS[Method.IMPEDANCE].names
    assert values["ohmic_resistance_ohm_ah"] == pytest.approx(0.040, rel=0.02)
    assert values["arc_width_ohm_ah"] == pytest.approx(0.010, rel=0.01)
    assert 10.0 ** values["log_apex_frequency_at_25c"] == pytest.approx(1.0 / (2.0 * math.pi * 0.016), rel=0.01)
    assert values["apex_height_ratio"] == pytest.approx(0.5, rel=0.01)
    assert values["inductance_microhenry"] == pytest.approx(0.06, rel=0.01)
    assert sum(values[name] for name in values if name.startswith("real_share")) == pytest.approx(1.0)


def test_a_warburg_element_has_its_coefficient_as_slope() -> None:
    slow = replace(CIRCUIT, warburg_ohm_ah=0.02)
    assert measured(slow)[0]["warburg_slope_ohm_ah"] == pytest.approx(0.02, rel=0.05)


def test_a_battery_of_twice_the_capacity_and_half_the_impedance_has_the_same_features() -> None:
    small, _ = measured(replace(CIRCUIT, inductance_henry=1.2e-7))
    large, _ = measured(identity=replace(CELL, rated_capacity_ah=100.0))
    assert large.pop("inductance_microhenry") == pytest.approx(small.pop("inductance_microhenry") / 2.0)
    assert list(large.values()) == pytest.approx(list(small.values()), rel=1e-9)


@pytest.mark.parametrize("celsius", [-10.0, 10.0, 40.0])
def test_the_same_battery_at_another_temperature_has_the_same_features_at_25_celsius(celsius: float) -> None:
    still = replace(CIRCUIT, warburg_ohm_ah=0.0)
    warm, _ = measured(still)
    other, findings = measured(still, celsius=celsius)
    assert findings == ()
    assert without_temperature_scaled(other) == pytest.approx(without_temperature_scaled(warm), abs=0.06, rel=0.06)
    assert other["arc_width_ohm_ah"] == pytest.approx(warm["arc_width_ohm_ah"] * slowing_factor(celsius), rel=0.05)


def test_a_worn_battery_has_a_wider_arc() -> None:
    fresh, worn = measured()[0], measured(CIRCUIT.worn(0.7))[0]
    assert worn["arc_width_ohm_ah_at_25c"] > 1.5 * fresh["arc_width_ohm_ah_at_25c"]
    assert worn["ohmic_resistance_ohm_ah"] > fresh["ohmic_resistance_ohm_ah"]


def test_the_order_of_the_rows_changes_nothing() -> None:
    table = spectrum_table(CIRCUIT, 50.0)
    shuffled = np.random.default_rng(0).permutation(table.row_count)
    mixed = CanonicalTable(TableFormat.SPECTRUM, {name: each[shuffled] for name, each in table.columns.items()})
    assert impedance_features(mixed, CELL) == impedance_features(table, CELL)


@pytest.mark.parametrize("hertz", [np.logspace(-2.3, 3.9, 32), np.logspace(-2.2, 4.2, 97)])
def test_another_frequency_grid_gives_nearly_the_same_features(hertz) -> None:
    usual, other = measured()[0], measured(hertz=hertz)[0]
    assert without_temperature_scaled(other) == pytest.approx(without_temperature_scaled(usual), abs=0.03, rel=0.03)


def test_a_little_noise_moves_the_features_a_little() -> None:
    quiet, noisy = measured()[0], measured(noise_fraction=0.002, seed=7)
    assert noisy[1] == ()
    assert noisy[0]["arc_width_ohm_ah_at_25c"] == pytest.approx(quiet["arc_width_ohm_ah_at_25c"], rel=0.02)
    assert noisy[0]["ohmic_resistance_ohm_ah"] == pytest.approx(quiet["ohmic_resistance_ohm_ah"], rel=0.01)


def test_longer_cables_change_the_inductance_and_not_the_arc() -> None:
    short, long = measured()[0], measured(replace(CIRCUIT, inductance_henry=1.5e-7))[0]
    assert long["inductance_microhenry"] > 2.0 * short["inductance_microhenry"]
    arc = [name for name in AT_25C if name != "log_apex_frequency_at_25c"]
    assert [long[name] for name in arc] == pytest.approx([short[name] for name in arc], abs=0.01)


def test_a_spectrum_that_ends_too_early_names_the_frequencies_that_are_missing() -> None:
    values, findings = measured(hertz=np.logspace(1, 4, 31))
    assert codes(findings) == ["impedance.frequencies_missing"]
    assert findings[0].evidence["missing_hertz"] == "0.1, 0.32, 1, 3.2"
    assert "0.1 to 1e+03 Hz" in findings[0].message.en
    assert math.isnan(values["arc_width_ohm_ah_at_25c"])
    assert values["high_frequency_resistance_ohm_ah"] == pytest.approx(0.04, rel=0.05)


def test_a_cold_battery_needs_lower_frequencies() -> None:
    down_to_a_tenth = np.logspace(-1, 4, 51)
    assert codes(measured(hertz=down_to_a_tenth)[1]) == []
    values, findings = measured(hertz=down_to_a_tenth, celsius=-10.0)
    assert codes(findings) == ["impedance.frequencies_missing"]
    assert findings[0].evidence["needed_lowest_hertz"] == pytest.approx(0.1 / slowing_factor(-10.0))
    assert math.isnan(values["arc_width_ohm_ah_at_25c"])


def test_nothing_is_interpolated_over_a_missing_decade() -> None:
    gap = USUAL_HERTZ[(USUAL_HERTZ < 3.0) | (USUAL_HERTZ > 30.0)]
    values, findings = measured(hertz=gap)
    assert findings[0].evidence["missing_hertz"] == "3.2, 10"
    assert math.isnan(values["arc_width_ohm_ah_at_25c"])
    assert math.isnan(values["magnitude_ohm_ah_10hz"])
    assert math.isfinite(values["magnitude_ohm_ah_1hz"])


def test_a_spectrum_without_a_temperature_is_not_used_and_says_so() -> None:
    table = spectrum_table(CIRCUIT, 50.0, celsius=None)
    values, findings = impedance_features(table, CELL)
    assert codes(findings) == ["impedance.temperature_missing"]
    assert math.isnan(values["arc_width_ohm_ah_at_25c"])
    assert math.isfinite(values["magnitude_ohm_ah_1hz"])


def test_a_temperature_that_moves_during_the_spectrum_is_remarked() -> None:
    table = spectrum_table(CIRCUIT, 50.0)
    count = table.row_count
    moved = changed(table, surface_temperature_celsius=np.linspace(25.0, 29.0, count))
    steady = changed(table, surface_temperature_celsius=np.linspace(25.0, 26.0, count))
    assert codes(impedance_features(moved, CELL)[1]) == ["impedance.temperature_drift"]
    assert codes(impedance_features(steady, CELL)[1]) == []


def test_the_wrong_sign_of_the_imaginary_part_is_named_and_nothing_is_read() -> None:
    table = spectrum_table(CIRCUIT, 50.0)
    turned = changed(table, imaginary_impedance_ohm=-table.floats("imaginary_impedance_ohm"))
    values, findings = impedance_features(turned, CELL)
    assert codes(findings) == ["impedance.sign_reversed"]
    assert findings[0].evidence["positive_count"] == int((USUAL_HERTZ < 10.0).sum())
    assert all(math.isnan(value) for value in values.values())


def test_a_negative_real_part_is_named_and_nothing_is_read() -> None:
    table = spectrum_table(CIRCUIT, 50.0)
    values, findings = impedance_features(changed(table, real_impedance_ohm=-table.floats("real_impedance_ohm")), CELL)
    assert codes(findings) == ["impedance.real_part_negative"]
    assert all(math.isnan(value) for value in values.values())


def test_a_point_that_contradicts_all_others_is_left_out_and_named() -> None:
    table = spectrum_table(CIRCUIT, 50.0)
    real = table.floats("real_impedance_ohm").copy()
    real[20] *= 1.3
    values, findings = impedance_features(changed(table, real_impedance_ohm=real), CELL)
    assert codes(findings) == ["impedance.point_left_out"]
    assert findings[0].evidence["frequencies_hertz"] == f"{USUAL_HERTZ[20]:.3g}"
    clean, _ = measured()
    assert without_temperature_scaled(values) == pytest.approx(without_temperature_scaled(clean), abs=0.01)


def test_a_battery_that_was_not_at_rest_breaks_the_kramers_kronig_relations() -> None:
    table = spectrum_table(CIRCUIT, 50.0)
    drifting = table.floats("real_impedance_ohm") * np.linspace(2.0, 1.0, table.row_count)
    findings = impedance_features(changed(table, real_impedance_ohm=drifting), CELL)[1]
    assert "impedance.not_kramers_kronig" in codes(findings)


def test_a_frequency_measured_twice_counts_with_the_mean() -> None:
    table = spectrum_table(CIRCUIT, 50.0)
    twice = {name: np.concatenate([each, each[:3]]) for name, each in table.columns.items()}
    values, findings = impedance_features(CanonicalTable(TableFormat.SPECTRUM, twice), CELL)
    assert codes(findings) == ["impedance.frequency_repeated"]
    assert list(values.values()) == pytest.approx(list(measured()[0].values()))


def test_a_spectrum_that_stays_capacitive_has_no_ohmic_resistance() -> None:
    values, findings = measured(replace(CIRCUIT, inductance_henry=0.0))
    assert codes(findings) == ["impedance.no_real_axis_crossing"]
    assert math.isnan(values["ohmic_resistance_ohm_ah"])
    assert values["inductance_microhenry"] == 0.0
    assert math.isfinite(values["arc_width_ohm_ah_at_25c"])


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_handful_of_points_gives_nan_and_never_infinity(count: int) -> None:
    values, findings = measured(hertz=np.logspace(-1, 3, count) if count > 1 else np.array([1.0]))
    assert math.isnan(values["arc_width_ohm_ah_at_25c"])
    assert not any(math.isinf(value) for value in values.values())
    assert "impedance.frequencies_missing" in codes(findings)


def test_an_impedance_run_gives_the_features_of_its_method() -> None:
    battery = SimulatedBattery(50.0, 40.0, Chemistry.NMC)
    run = battery.run(RunKind.IMPEDANCE, spectrum_table(CIRCUIT, 50.0))
    vector = extract(battery.history(run), run.available_at)
    assert vector.method is Method.IMPEDANCE
    assert vector.feature_set_digest == FEATURE_SETS[Method.IMPEDANCE].digest
    assert vector.values == impedance_features(run.table, battery.identity)[0]


def test_an_impedance_run_beside_a_pulse_test_follows_it() -> None:
    battery = SimulatedBattery(50.0, 40.0, Chemistry.NMC)
    spectrum = battery.run(RunKind.IMPEDANCE, spectrum_table(CIRCUIT, 50.0))
    pulses = battery.run(RunKind.PULSE_TEST, battery.pulse_train())
    vector = extract(battery.history(spectrum, pulses), spectrum.available_at)
    assert vector.method is Method.PULSE_TEST
    assert [each.method for each in vector.further] == [Method.IMPEDANCE]


def test_a_spectrum_of_the_wrong_sign_is_no_evidence_beside_a_pulse_test() -> None:
    battery = SimulatedBattery(50.0, 40.0, Chemistry.NMC)
    table = spectrum_table(CIRCUIT, 50.0)
    turned = changed(table, imaginary_impedance_ohm=-table.floats("imaginary_impedance_ohm"))
    spectrum = battery.run(RunKind.IMPEDANCE, turned)
    vector = extract(
        battery.history(spectrum, battery.run(RunKind.PULSE_TEST, battery.pulse_train())), spectrum.available_at
    )
    assert vector.further == ()
    assert "impedance.sign_reversed" in codes(vector.findings)


def test_how_a_superseded_spectrum_was_measured_is_no_finding_on_the_battery() -> None:
    battery = SimulatedBattery(50.0, 40.0, Chemistry.NMC)
    table = spectrum_table(CIRCUIT, 50.0)
    first = battery.run(RunKind.IMPEDANCE, spectrum_table(CIRCUIT, 50.0, celsius=None))
    again = battery.run(RunKind.IMPEDANCE, table, started_at=STARTED_AT.replace(day=3))
    vector = extract(battery.history(first, again), again.available_at)
    assert vector.method is Method.IMPEDANCE
    assert not [code for code in codes(vector.findings) if code.startswith("impedance.")]
