import numpy as np
import pytest

from features.extract import extract_many
from features.feature_set import FeatureVector
from models.assessment import assess, assess_many
from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.certification import certified
from models.decision import GradingCase
from models.policy_file import SHIPPED_POLICY, load_policy
from models.predictions import predicted
from tests.support.cases import CUTS, MOMENT
from tests.support.mixed_returns import mixed_returns

BUNDLE = load_bundle(REFERENCE_BUNDLE)
POLICY = load_policy(SHIPPED_POLICY)
TERMS = POLICY.terms(certified(BUNDLE.calibration, POLICY.cuts, POLICY.risk))


@pytest.fixture(scope="module")
def cases() -> list[GradingCase]:
    returned = mixed_returns(64)
    vectors = extract_many([(history, MOMENT) for history in returned])
    return [
        GradingCase(history.identity, history.inspection, vector)
        for history, vector in zip(returned, vectors, strict=True)
        if isinstance(vector, FeatureVector)
    ]


@pytest.mark.parametrize("count", [1, 7, 64])
def test_a_battery_is_assessed_alike_alone_and_in_a_batch(cases: list[GradingCase], count: int) -> None:
    chosen = cases[:count]
    alone = [repr(assess(case, BUNDLE, TERMS)) for case in chosen]
    assert [repr(each) for each in assess_many(chosen, BUNDLE, TERMS)] == alone


def test_the_order_of_a_batch_changes_no_assessment(cases: list[GradingCase]) -> None:
    order = np.random.default_rng(5).permutation(len(cases)).tolist()
    sorted_said = assess_many(cases, BUNDLE, TERMS)
    shuffled_said = assess_many([cases[place] for place in order], BUNDLE, TERMS)
    assert [repr(each) for each in shuffled_said] == [repr(sorted_said[place]) for place in order]


def test_a_batch_of_returns_holds_estimates_and_reasons_why_there_is_none(cases: list[GradingCase]) -> None:
    said = assess_many(cases, BUNDLE, TERMS)
    codes = {finding.code for each in said for finding in each.abstentions}
    assert {"UNKNOWN_TYPE", "INSUFFICIENT_DATA"} <= codes
    assert len({each.estimate.method for each in said if each.estimate is not None}) >= 2


def test_where_nothing_is_asked_nothing_is_answered() -> None:
    assert predicted([None, None], CUTS) == [None, None]
    assert assess_many([], BUNDLE, TERMS) == []
