import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.policy_file import SHIPPED_POLICY, load_policy
from serving.grading import Grader, GradingRequest, history_sha256
from serving.record.ledger import Ledger
from tests.support.cases import MOMENT
from tests.support.mixed_returns import mixed_returns

RETURNED = mixed_returns(64)


@pytest.fixture
def new_grader(tmp_path: Path) -> Iterator[Callable[[], Grader]]:
    """Graders each with a record of its own: what one decided is nobody else's past."""
    bundle, policy = load_bundle(REFERENCE_BUNDLE), load_policy(SHIPPED_POLICY)
    with ExitStack() as opened:
        yield lambda: Grader(
            bundle, policy, opened.enter_context(Ledger.open(tmp_path / f"{uuid4().hex}.sqlite", "test"))
        )


def asked(number: int, batch: str) -> GradingRequest:
    key = f"{batch}-{number}"
    event_id = hashlib.sha256(key.encode()).hexdigest()[:32]
    return GradingRequest("station-1", key, history_sha256(RETURNED[number]), event_id, MOMENT)


def bodies(grader: Grader, numbers: list[int], batch: str) -> dict[int, object]:
    answers = grader.grade_many([(RETURNED[number], asked(number, batch)) for number in numbers])
    return {number: answer.body for number, answer in zip(numbers, answers, strict=True)}


def test_a_decision_is_the_same_alone_in_a_batch_of_seven_or_64_and_in_any_order(
    new_grader: Callable[[], Grader],
) -> None:
    everyone = list(range(len(RETURNED)))
    shuffled = np.random.default_rng(1).permutation(everyone).tolist()
    together = bodies(new_grader(), everyone, "together")
    assert bodies(new_grader(), shuffled, "shuffled") == together
    alone = new_grader()
    for number in everyone[:12]:
        assert alone.grade(RETURNED[number], asked(number, "alone")).body == together[number]
    for begin in (0, 21, 57):
        seven = everyone[begin : begin + 7]
        assert bodies(new_grader(), seven, f"seven-{begin}") == {number: together[number] for number in seven}


def test_the_batch_holds_batteries_that_are_used_tested_again_and_held(new_grader: Callable[[], Grader]) -> None:
    decided = bodies(new_grader(), list(range(len(RETURNED))), "outcomes").values()
    assert {each["decision"]["outcome"] for each in decided} >= {"cascade", "retest", "hold"}
    assert len({each["estimate"]["method"] for each in decided if each["estimate"]}) >= 2


def test_a_second_grading_is_the_same_alone_and_in_a_batch(new_grader: Callable[[], Grader]) -> None:
    """The past counts alike, whichever way the battery comes in again."""
    numbers = list(range(24))
    batch, single = new_grader(), new_grader()
    for round_name in ("first", "second"):
        together = bodies(batch, numbers, round_name)
        alone = {number: single.grade(RETURNED[number], asked(number, round_name)).body for number in numbers}
        assert together == alone


def test_two_rows_of_one_battery_in_one_slice_are_decided_in_order(new_grader: Callable[[], Grader]) -> None:
    grader, two = new_grader(), new_grader()
    rows = [0, 1, 0, 2, 0, 1]
    answers = grader.grade_many([(RETURNED[number], asked(number, f"row{n}")) for n, number in enumerate(rows)])
    alone = [two.grade(RETURNED[number], asked(number, f"row{n}")) for n, number in enumerate(rows)]
    assert [each.body for each in answers] == [each.body for each in alone]
    of_first = [answer.sequence for answer, number in zip(answers, rows, strict=True) if number == 0]
    assert of_first == sorted(of_first)
