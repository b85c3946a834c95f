"""What a decision keeps of the past it was made in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import Outcome
from models.past import NOTHING_PAST, PartVerdict, RecordedPast, StandingVerdict

outcomes = st.sampled_from(list(Outcome))
standing = st.builds(
    StandingVerdict,
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.integers(0, 10**9),
    outcomes,
    st.lists(st.sampled_from(["appearance.burn", "identity.level_conflict"])).map(tuple),
    st.integers(0, 100),
)
parts = st.builds(
    PartVerdict, st.text(min_size=1), st.none() | st.text(), outcomes, st.none() | st.text(), st.booleans()
)


@given(st.builds(RecordedPast, st.none() | standing, st.lists(parts, max_size=3).map(tuple)))
def test_a_past_comes_back_from_json_as_it_was(past: RecordedPast) -> None:
    assert RecordedPast.from_json(json.loads(json.dumps(past.as_json()))) == past


def test_a_decision_older_than_the_rule_respected_nothing() -> None:
    assert RecordedPast.from_json(None) == NOTHING_PAST


def test_a_part_never_graded_comes_back_too() -> None:
    past = RecordedPast(parts=(PartVerdict("module-1", None, None, None, gated=False),))
    assert RecordedPast.from_json(past.as_json()) == past


def test_a_judged_part_without_an_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="module-1"):
        PartVerdict("module-1", None, None, None, gated=True)
