from collections import Counter

import pytest

from features.errors import InvalidInput
from features.extract import extract, extract_many
from features.feature_set import FeatureVector
from features.vocabulary import Chemistry, RunKind
from tests.support.cases import MOMENT
from tests.support.mixed_returns import mixed_returns
from tests.support.simulated_battery import SimulatedBattery

CELL = SimulatedBattery(35.0, 30.0, Chemistry.LFP)


def written(vector: FeatureVector | InvalidInput) -> str:
    """Every bit of it; missing values are not equal to themselves, their text is."""
    return repr(vector)


def test_many_batteries_at_once_have_the_features_of_each_alone_to_the_last_bit() -> None:
    returned = mixed_returns(40)
    together = extract_many([(history, MOMENT) for history in returned])
    assert [written(each) for each in together] == [written(extract(history, MOMENT)) for history in returned]
    assert len(Counter(each.method for each in together if isinstance(each, FeatureVector))) >= 5


def test_every_battery_is_seen_at_its_own_moment() -> None:
    history = CELL.history()
    before = min(run.available_at for run in history.runs).replace(year=2001)
    early, late = extract_many([(history, before), (history, MOMENT)])
    assert (early.method, late.method) == (None, extract(history, MOMENT).method)


def test_a_run_that_cannot_be_what_it_says_concerns_its_own_battery_only() -> None:
    absent_train = CELL.history(CELL.run(RunKind.PULSE_TEST, CELL.pulse_train(), train=9))
    sound, refused, also_sound = extract_many(
        [(CELL.history(), MOMENT), (absent_train, MOMENT), (CELL.history(), MOMENT)]
    )
    assert isinstance(refused, InvalidInput)
    with pytest.raises(InvalidInput, match="train 9 does not exist"):
        raise refused
    assert written(sound) == written(also_sound) == written(extract(CELL.history(), MOMENT))


def test_nobody_asked_for_is_nobody_answered() -> None:
    assert extract_many([]) == []
