import copy

import pytest

from training.promote import gates


@pytest.fixture
def figures(tiny_judged):
    return tiny_judged.evaluation.plain()


def _worse(champion, challenger):
    return [(gate.type_key, gate.figure) for gate in gates(champion, challenger) if gate.worse]


def test_an_equal_challenger_is_nowhere_worse(figures):
    assert _worse(figures, copy.deepcopy(figures)) == []


def test_lost_coverage_below_the_promise_is_worse(figures):
    figures["coverage_over_splits"]["LFP20"]["mean"] = 0.92
    challenger = copy.deepcopy(figures)
    challenger["coverage_over_splits"]["LFP20"]["mean"] = 0.85
    assert _worse(figures, challenger) == [("LFP20", "coverage")]


def test_coverage_above_the_promise_may_fall_to_the_promise(figures):
    figures["coverage_over_splits"]["LFP20"]["mean"] = 0.97
    challenger = copy.deepcopy(figures)
    challenger["coverage_over_splits"]["LFP20"]["mean"] = 0.90
    assert _worse(figures, challenger) == []


def test_one_more_false_accept_of_one_type_is_worse(figures):
    challenger = copy.deepcopy(figures)
    challenger["visits"]["NMC21"]["cuts"]["0.80"]["false_accepts"]["count"] += 1
    assert _worse(figures, challenger) == [("NMC21", "false accepts at 0.80")]


def test_fewer_false_rejects_are_not_worse(figures):
    figures["visits"]["NMC21"]["cuts"]["0.80"]["false_rejects"]["count"] += 1
    challenger = copy.deepcopy(figures)
    challenger["visits"]["NMC21"]["cuts"]["0.80"]["false_rejects"]["count"] -= 1
    assert _worse(figures, challenger) == []


def test_a_type_the_challenger_no_longer_knows_is_worse(figures):
    challenger = copy.deepcopy(figures)
    del challenger["visits"]["NMC21"]
    assert _worse(figures, challenger) == [("NMC21", "known type")]
