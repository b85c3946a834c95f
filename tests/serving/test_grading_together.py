import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.ledger import Ledger
from tests.support.cases import MOMENT
from tests.support.mixed_returns import mixed_returns

RETURNED = mixed_returns(64)


@pytest.fixture
def grader(tmp_path: Path) -> Iterator[Grader]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as ledger:
        yield Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


def asked(number: int, batch: str) -> GradingRequest:
    key = f"{batch}-{number}"
    event_id = hashlib.sha256(key.encode()).hexdigest()[:32]
    return GradingRequest("station-1", key, history_sha256(RETURNED[number]), event_id, MOMENT)


def bodies(grader: Grader, numbers: list[int], batch: str) -> dict[int, object]:
    answers = grader.grade_many([(RETURNED[number], asked(number, batch)) for number in numbers])
    return {number: answer.body for number, answer in zip(numbers, answers, strict=True)}


def test_a_decision_is_the_same_alone_in_a_batch_of_seven_or_64_and_in_any_order(grader: Grader) -> None:
    everyone = list(range(len(RETURNED)))
    shuffled = np.random.default_rng(1).permutation(everyone).tolist()
    together = bodies(grader, everyone, "together")
    assert bodies(grader, shuffled, "shuffled") == together
    for number in everyone[:12]:
        assert grader.grade(RETURNED[number], asked(number, "alone")).body == together[number]
    for begin in (0, 21, 57):
        seven = everyone[begin : begin + 7]
        assert bodies(grader, seven, f"seven-{begin}") == {number: together[number] for number in seven}


def test_the_batch_holds_batteries_that_are_used_tested_again_and_held(grader: Grader) -> None:
    decided = bodies(grader, list(range(len(RETURNED))), "outcomes").values()
    assert {each["decision"]["outcome"] for each in decided} >= {"cascade", "retest", "hold"}
    assert len({each["estimate"]["method"] for each in decided if each["estimate"]}) >= 2
