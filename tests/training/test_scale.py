import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.scale import quantile_without_each, scale_from_grid, scale_of_types, scale_without_own

ERRORS = arrays(np.float64, st.integers(2, 40), elements=st.floats(0.0, 10.0))
LEVEL, POOLING = 0.8, 5.0


def _keys(*counted):
    return np.concatenate([np.full(count, key, dtype=object) for key, count in counted])


@given(ERRORS, st.floats(0.05, 0.95))
def test_the_quantile_without_each_value_is_that_of_the_others(values, level):
    others = [np.quantile(np.delete(values, place), level) for place in range(len(values))]
    assert quantile_without_each(values, level) == pytest.approx(others, abs=1e-12)


@given(ERRORS)
def test_the_scale_without_a_battery_is_the_scale_the_others_give_its_type(errors):
    keys = _keys(("LFP20", len(errors) - len(errors) // 3), ("LMO10", len(errors) // 3))
    without = scale_without_own(errors, keys, LEVEL, POOLING)
    for place, key in enumerate(keys):
        others = np.delete(errors, place), np.delete(keys, place)
        if key in others[1]:
            assert without[place] == pytest.approx(scale_of_types(*others, LEVEL, POOLING)[key], rel=1e-9)


def test_the_only_battery_of_a_type_is_judged_by_all_types():
    errors, keys = np.arange(1.0, 12.0), _keys(("LFP20", 10), ("LMO10", 1))
    assert scale_without_own(errors, keys, LEVEL, POOLING)[-1] == pytest.approx(np.quantile(errors[:-1], LEVEL))


def test_a_scale_lies_between_its_type_and_all_types_and_nearer_to_a_large_type():
    errors = np.concatenate([np.full(60, 1.0), np.full(4, 4.0)])
    scales = scale_of_types(errors, _keys(("LFP20", 60), ("LMO10", 4)), LEVEL, POOLING)
    assert scales["LFP20"] == pytest.approx(1.0)
    assert scales["LMO10"] == pytest.approx(4.0 ** (4 / 9))


def test_a_type_never_visited_is_no_easier_on_visits_than_on_the_grid():
    visits, grid_keys = _keys(("LFP20", 20)), _keys(("LFP20", 20), ("NMC2.1", 20))
    grid = np.full(40, 2.0)
    for on_visits, expected in ((3.0, 3.0), (1.0, 2.0)):
        scales = scale_from_grid(np.full(20, on_visits), visits, grid, grid_keys, LEVEL)
        assert scales == {"NMC2.1": pytest.approx(expected)}


def test_without_a_type_that_has_both_the_grid_stands_alone():
    scales = scale_from_grid(np.full(9, 9.0), _keys(("LFP20", 9)), np.full(5, 2.0), _keys(("NMC2.1", 5)), LEVEL)
    assert scales == {"NMC2.1": pytest.approx(2.0)}
