"""Whether the promise holds, on a population whose true risks are known by counting."""

import numpy as np
import pytest
from scipy.stats import binom

from models.certificate import Certificate
from models.risk import CalibrationBatteries, certify
from models.risk_levels import RiskLevels

CUT = 0.80
TWO_PERCENT = RiskLevels(0.02, 0.05, 0.95)
FIVE_PERCENT = RiskLevels(0.05, 0.05, 0.95)
RUNS = 2000
MOST_BROKEN = int(binom.ppf(0.999, RUNS, 0.05))


def true_risks(decimals: int, count: int, levels: RiskLevels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True false-accept and false-reject shares and decided share of certificates from many draws."""
    draw = np.random.default_rng(7)
    measured = draw.uniform(0.55, 1.0, 50_000)
    score = np.round(measured + draw.normal(0.0, 0.03, 50_000), decimals)
    keys, below = np.full(count, "T"), measured < CUT
    bad, good, everyone = np.sort(score[below]), np.sort(score[~below]), np.sort(score)
    rows = (draw.integers(0, 50_000, count) for _ in range(RUNS))
    found = [certify(CalibrationBatteries(keys, score[each], measured[each]), CUT, levels) for each in rows]
    assert all(isinstance(each, Certificate) for each in found)
    accept = np.array([each.accept_at_least for each in found])
    reject = np.array([each.reject_below for each in found])
    decided = 1.0 - (np.searchsorted(everyone, accept) - np.searchsorted(everyone, reject)) / 50_000
    return (len(bad) - np.searchsorted(bad, accept)) / 50_000, np.searchsorted(good, reject) / 50_000, decided


@pytest.mark.parametrize("decimals", [9, 2], ids=["distinct scores", "many ties"])
@pytest.mark.parametrize(("count", "levels"), [(159, TWO_PERCENT), (100, FIVE_PERCENT)])
def test_the_promise_is_broken_in_at_most_five_of_a_hundred_calibrations(count, levels, decimals) -> None:
    false_accepts, false_rejects, decided = true_risks(decimals, count, levels)
    assert np.count_nonzero(false_accepts > levels.max_false_accept_share) <= MOST_BROKEN
    assert np.count_nonzero(false_rejects > levels.max_false_reject_share) <= MOST_BROKEN
    assert decided.mean() > 0.75


def test_the_promise_is_not_kept_by_deciding_too_little() -> None:
    """With distinct scores the certificate uses what it is given: 4.0 % of draws see no error at 2 % risk."""
    levels = RiskLevels(0.02, 0.02, 0.95)
    false_accepts, _, _ = true_risks(9, 159, levels)
    assert np.mean(false_accepts > 0.02) == pytest.approx(0.98**159, abs=0.015)
