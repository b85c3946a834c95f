import pytest

from models.risk_levels import RiskLevels
from models.thresholds import CutThresholds, Thresholds, certified_score

LEVELS = RiskLevels(0.02, 0.05, 0.95)


def thresholds(*cuts: CutThresholds) -> Thresholds:
    return Thresholds(LEVELS, {"LMO10": 200}, cuts)


def test_a_score_is_compared_to_a_hundredth_of_a_percent() -> None:
    assert certified_score(0.85164999) == certified_score(0.8516) == 0.8516
    assert certified_score(0.85166) == 0.8517


@pytest.mark.parametrize(("accept", "reject"), [(0.79, 0.78), (0.85, 0.81), (0.79, 0.82)])
def test_thresholds_that_do_not_enclose_their_cut_are_refused(accept: float, reject: float) -> None:
    with pytest.raises(ValueError, match="reject_below <= cut <= accept_at_least"):
        CutThresholds(0.80, accept, reject)


@pytest.mark.parametrize(
    ("higher", "lower"),
    [
        (CutThresholds(0.80, 0.82, 0.78), CutThresholds(0.70, 0.83, 0.69)),
        (CutThresholds(0.80, 0.85, 0.68), CutThresholds(0.70, 0.72, 0.69)),
        (CutThresholds(0.70, 0.72, 0.69), CutThresholds(0.80, 0.85, 0.78)),
    ],
    ids=["accepted above and not below", "rejected below and not above", "cuts rise"],
)
def test_thresholds_that_do_not_nest_are_refused(higher: CutThresholds, lower: CutThresholds) -> None:
    with pytest.raises(ValueError, match="must fall with the cut"):
        thresholds(higher, lower)


def test_thresholds_are_asked_by_cut_and_another_cut_has_none() -> None:
    both = thresholds(CutThresholds(0.80, 0.85, 0.78), CutThresholds(0.70, 0.72, 0.69))
    assert both.at(0.70).accept_at_least == 0.72
    with pytest.raises(KeyError, match=r"No threshold is in force at 0\.6"):
        both.at(0.60)
