import numpy as np
import pandas as pd
import pytest

from features.feature_set import FEATURE_SETS, Method
from models.look import TypeLook, look_of, type_look
from training.fit_looks import fit_look
from training.plan_tables import ApplicabilityPlan
from training.table import FeatureTable

NAMES = FEATURE_SETS[Method.PULSE_TEST].names
VOLTAGE, WIDTH, RATIO = "open_circuit_voltage_volt", "log_pulse_width", "polarisation_ratio_1.0c_charge"


def _plan(**changes):
    settings = {
        "features": (VOLTAGE, WIDTH, RATIO),
        "sliced_along": VOLTAGE,
        "of_the_test": (WIDTH,),
        "component_count": {},
        "default_component_count": 4,
        "covariance_floor": 0.01,
        "limit_level": 0.99,
        "limit_slack": 1.2,
        "margin": 5.0,
    }
    return ApplicabilityPlan(**(settings | changes))


def _table(row_count=400, seed=0):
    """Near empty (below 3.2 V) the ratio varies twenty times as much as elsewhere; every tenth test has 3 s pulses."""
    draw = np.random.default_rng(seed)
    volt = draw.uniform(3.0, 4.0, row_count)
    values = np.full((row_count, len(NAMES)), np.nan)
    values[:, NAMES.index(VOLTAGE)] = volt
    values[:, NAMES.index(WIDTH)] = np.where(np.arange(row_count) % 10, np.log10(5.0), np.log10(3.0))
    values[:, NAMES.index(RATIO)] = 0.5 + draw.normal(0.0, np.where(volt < 3.2, 0.2, 0.01))
    cells = [f"cell{number % 40}" for number in range(row_count)]
    labels = pd.DataFrame({"physical_cell": cells, "rated_capacity_ah": 20.0})
    return FeatureTable(FEATURE_SETS[Method.PULSE_TEST], (), labels, np.full(row_count, "LFP20", dtype=object), values)


def _distance(look: TypeLook, volt, ratio, width_second=5.0):
    row = np.array([[volt, np.log10(width_second), ratio]])
    return float(look.distance(look_of(row, (VOLTAGE, WIDTH, RATIO)))[0])


@pytest.fixture(scope="module")
def look():
    return fit_look(_plan(), _table(), seed=0)


def test_what_is_usual_near_empty_is_unusual_elsewhere(look):
    assert _distance(look, 3.1, 0.7) < 1.0
    assert _distance(look, 3.7, 0.7) > 1.0
    assert _distance(look, 3.7, 0.5) < 1.0


def test_a_voltage_outside_what_was_seen_is_unlike(look):
    assert _distance(look, 4.5, 0.5) > 1.0


def test_a_setting_of_the_test_that_was_seen_anywhere_passes_everywhere(look):
    for volt in (3.1, 3.5, 3.9):
        assert _distance(look, volt, 0.5, width_second=3.0) < 1.0


def test_every_slice_has_its_own_limit_and_a_mixture_one_for_all(look):
    assert len(look.limit) == 4
    assert len(set(look.limit.tolist())) == 4
    mixed = fit_look(_plan(sliced_along=None, of_the_test=()), _table(), seed=0)
    assert len(set(mixed.limit.tolist())) == 1


def test_hardly_any_test_of_new_cells_of_the_type_is_turned_away(look):
    new = _table(seed=9)
    distance = look.distance(look_of(new.columns((VOLTAGE, WIDTH, RATIO)), (VOLTAGE, WIDTH, RATIO)))
    assert np.mean(distance > 1.0) < 0.04


def test_few_tests_make_few_slices():
    assert len(fit_look(_plan(), _table(90), seed=0).limit) == 2
    assert len(fit_look(_plan(), _table(12), seed=0).limit) == 1


def test_a_look_is_the_same_from_its_bytes_and_from_a_second_fit(look):
    again = type_look(fit_look(_plan(), _table(), seed=0).array_bytes())
    assert again.array_bytes() == look.array_bytes()
