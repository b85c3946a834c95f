import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from models.binomial import batteries_needed, binomial_tail, errors_allowed, upper_bound_share


@given(st.integers(1, 3000), st.data(), st.floats(1e-4, 0.999))
def test_the_binomial_tail_is_that_of_scipy(count: int, data: st.DataObject, share: float) -> None:
    errors = data.draw(st.integers(0, count))
    assert binomial_tail(errors, count, share) == pytest.approx(binom.cdf(errors, count, share), rel=1e-9, abs=1e-200)


@given(st.integers(1, 2000), st.data(), st.floats(0.5, 0.999))
@settings(max_examples=40, deadline=None)
def test_the_upper_bound_is_that_of_scipy(count: int, data: st.DataObject, confidence: float) -> None:
    errors = data.draw(st.integers(0, min(count - 1, 60)))
    oracle = beta.ppf(confidence, errors + 1, count - errors)
    assert upper_bound_share(errors, count, confidence) == pytest.approx(oracle, rel=1e-9)


def test_of_batteries_that_are_all_errors_the_bound_is_one() -> None:
    assert upper_bound_share(7, 7, 0.95) == 1.0


@given(st.integers(1, 500), st.floats(0.005, 0.5), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_errors_allowed_are_the_most_whose_bound_is_within_the_level(count, share, confidence) -> None:
    allowed = errors_allowed(count, share, confidence)
    bounds = [beta.ppf(confidence, k + 1, count - k) for k in range(count)]
    assert (-1 if allowed is None else allowed) == sum(bound <= share for bound in bounds) - 1


@pytest.mark.parametrize(("share", "needed"), [(0.01, 299), (0.02, 149), (0.05, 59)])
def test_without_an_error_it_takes_299_149_and_59_batteries(share: float, needed: int) -> None:
    assert batteries_needed(share, 0.95) == needed
    assert errors_allowed(needed, share, 0.95) == 0
    assert errors_allowed(needed - 1, share, 0.95) is None


def test_a_huge_calibration_set_neither_overflows_nor_vanishes() -> None:
    assert binomial_tail(1900, 100_000, 0.02) == pytest.approx(binom.cdf(1900, 100_000, 0.02), rel=1e-9)
