import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.feature_set import Method
from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.capacity import DirectCapacity
from models.decision import CapacityEstimate
from models.interval import ConformalInterval, TypeScale
from models.kernel import KernelForm, KernelMember, Standardisation, kernel_member
from models.look import Looks, TypeLook, type_look
from models.suitability import Suitability, predictive_probability
from tests.support.cases import CUTS

NAMES = ("open_circuit_voltage_volt", "instantaneous_resistance_ohm_ah_1.0c_charge")


def a_member() -> KernelMember:
    scaling = Standardisation(np.array([False, True]), np.array([3.3, -2.5]), np.array([0.1, 0.2]))
    form = KernelForm("matern32", 1.5, 0.08, 0.3, 3.0, 3.0)
    centres = np.array([[0.0, 0.0], [1.0, -1.0], [-1.0, 0.5]])
    return KernelMember(NAMES, (NAMES[1],), form, scaling, centres, np.array([0.5, -0.2, 0.1]), -0.2)


def test_a_kernel_member_written_and_read_predicts_the_same_numbers() -> None:
    member = a_member()
    read = kernel_member(member.names, member.required, member.form, member.offset, member.array_bytes())
    rows = np.array([[3.31, 0.08], [3.25, 0.12]])
    assert read.predict(rows, NAMES).tolist() == member.predict(rows, NAMES).tolist()


def test_a_kernel_member_says_nothing_without_a_required_feature() -> None:
    said = a_member().predict(np.array([[3.31, 0.08], [3.31, np.nan]]), NAMES)
    assert np.isfinite(said).tolist() == [True, False]


def test_a_kernel_member_finds_its_features_by_name_not_by_position() -> None:
    rows = np.array([[3.31, 0.08]])
    turned = a_member().predict(rows[:, ::-1], NAMES[::-1])
    assert turned.tolist() == a_member().predict(rows, NAMES).tolist()


def test_the_kernel_at_its_own_centre_is_its_amplitude_and_linear_part() -> None:
    form = KernelForm("rbf", 1.0, 0.5, 0.0, 0.0, 3.0)
    assert form.between(np.zeros((1, 2)), np.zeros((1, 2))).tolist() == [[0.25]]


def test_one_row_at_a_time_predicts_as_all_rows_at_once() -> None:
    estimator = load_bundle(REFERENCE_BUNDLE).estimators[Method.PULSE_TEST]
    names = tuple(dict.fromkeys((*estimator.required, *_all_features(estimator))))
    rng = np.random.default_rng(0)
    rows = np.exp(rng.normal(-2.5, 0.3, (6, len(names))))
    together = estimator.predict(rows, names, "LFP35", CUTS)
    for index in range(6):
        alone = estimator.predict(rows[index : index + 1], names, "LFP35", CUTS)
        assert alone.point[0] == pytest.approx(together.point[index], rel=1e-12)
        assert alone.probability_below[0] == pytest.approx(together.probability_below[index], rel=1e-9)


def _all_features(estimator) -> list[str]:
    return [name for ensemble in estimator.ensembles.values() for member in ensemble.members for name in member.names]


INTERVAL = ConformalInterval(
    coverage_fraction=0.9,
    quantile=1.6,
    difficulty_slope=1.0,
    largest_relative_disagreement=3.0,
    types={"LFP35": TypeScale(scale_fraction=0.02, typical_disagreement=0.01)},
)


def test_the_interval_widens_with_disagreement_up_to_its_limit() -> None:
    spread = INTERVAL.spread_fraction("LFP35", np.array([0.0, 0.01, 0.03, 0.3]))
    assert spread == pytest.approx([0.02, 0.04, 0.08, 0.08])
    lower, upper = INTERVAL.bounds(np.array([0.8]), np.array([0.02]))
    assert (lower[0], upper[0]) == pytest.approx((0.768, 0.832))


def test_the_lower_bound_is_never_negative() -> None:
    assert INTERVAL.bounds(np.array([0.01]), np.array([0.1]))[0][0] == 0.0


@given(st.floats(-5, 5), st.floats(0, 2))
def test_the_predictive_probability_rises_and_is_never_certain(value: float, more: float) -> None:
    scores = np.linspace(-2.0, 2.0, 50)
    low, high = predictive_probability(scores, np.array([value, value + more]))
    assert 0.0 < low <= high < 1.0


@given(st.floats(0.2, 1.2), st.floats(0.01, 0.1))
def test_probabilities_rise_with_the_cut(point: float, spread: float) -> None:
    suitability = Suitability(np.linspace(-2.0, 2.0, 50), {})
    below = suitability.probability_below(CUTS, np.array([point]), np.array([spread]), np.zeros((1, 0)), ())
    assert below[0, 0] >= below[0, 1] >= below[0, 2]


def a_look(centre: float, rated_ah: float) -> TypeLook:
    means = np.zeros((1, 2))
    return TypeLook(
        rated_ah, np.array([3.3, centre]), np.array([0.1, 0.2]), means, np.eye(2)[None], np.array([0.0]), 9.0
    )


def test_a_measurement_far_from_its_type_is_unlike_and_a_near_one_is_not() -> None:
    looks = Looks(NAMES, {"own": a_look(-2.5, 20.0)}, 5.0)
    near, far = np.array([[3.3, np.exp(-2.5)]]), np.array([[3.3, np.exp(-1.0)]])
    assert looks.distance(near, NAMES, "own")[0] == pytest.approx(0.0, abs=1e-12)
    assert looks.distance(far, NAMES, "own")[0] > 1.0


def test_a_measurement_another_type_explains_clearly_better_is_unlike_its_declared_type() -> None:
    looks = Looks(NAMES, {"own": a_look(-2.0, 20.0), "other": a_look(-2.5, 20.0)}, 2.0)
    assert looks.distance(np.array([[3.3, np.exp(-2.5)]]), NAMES, "own")[0] > 1.0
    assert looks.distance(np.array([[3.3, np.exp(-2.5)]]), NAMES, "other")[0] <= 1.0


def test_a_measurement_without_a_look_feature_is_infinitely_unlike() -> None:
    looks = Looks(NAMES, {"own": a_look(-2.5, 20.0)}, 5.0)
    assert looks.distance(np.array([[3.3, np.nan]]), NAMES, "own")[0] == np.inf


def test_a_look_written_and_read_measures_the_same_distance() -> None:
    look = a_look(-2.5, 20.0)
    rows = np.array([[3.35, -2.2]])
    assert type_look(look.array_bytes()).distance(rows) == look.distance(rows)


def test_a_direct_capacity_has_the_normal_interval_of_its_uncertainty() -> None:
    measured = DirectCapacity(28.0, 0.28)
    assert measured.bounds() == pytest.approx((28.0 - 1.6449 * 0.28, 28.0 + 1.6449 * 0.28), abs=1e-4)
    assert measured.probability_below((0.8,), 35.0)["0.80"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"lower_ah": 29.0},
        {"upper_ah": 27.0},
        {"lower_ah": -1.0},
        {"upper_ah": float("inf")},
        {"coverage_fraction": 1.0},
        {"rated_capacity_ah": 0.0},
        {"probability_below_cut": {"0.80": 0.1, "0.70": 0.2}},
        {"probability_below_cut": {"0.80": 1.1}},
    ],
)
def test_an_estimate_that_contradicts_itself_cannot_be_built(changes) -> None:
    sound = {
        "method": Method.PULSE_TEST,
        "remaining_capacity_ah": 28.0,
        "lower_ah": 27.0,
        "upper_ah": 29.0,
        "coverage_fraction": 0.9,
        "rated_capacity_ah": 35.0,
        "capacity_definition": "1C",
        "probability_below_cut": {"0.80": 0.5, "0.70": 0.1},
    }
    CapacityEstimate(**sound)
    with pytest.raises(ValueError, match=r"lower|Coverage|Rated|Probabilities"):
        CapacityEstimate(**(sound | changes))
