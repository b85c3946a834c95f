import copy

import pytest

from training.promote import gates, method_gates


@pytest.fixture
def figures(tiny_judged):
    return tiny_judged.evaluation.plain()


def _worse(champion, challenger):
    return [(gate.type_key, gate.figure) for gate in method_gates(champion, challenger) if gate.worse]


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


def test_gates_name_the_method_and_one_that_is_lost_is_worse(figures):
    champion = {"methods": {"pulse_test": figures, "impedance": figures}}
    challenger = {"methods": {"pulse_test": figures}}
    found = list(gates(champion, challenger))
    assert [gate.figure for gate in found if gate.worse] == ["known method impedance"]
    assert "pulse_test: coverage" in {gate.figure for gate in found}


def _with_shares(figures, accepted, rejected):
    changed = copy.deepcopy(figures)
    shares = {"battery_count": 9, "accepted": accepted, "rejected": rejected, "undecided": 1 - accepted - rejected}
    changed["certified"] = {"0.80": {"0.02": {"shares": {"all": shares}}}}
    return changed


def test_a_certificate_that_decides_fewer_batteries_is_worse(figures):
    champion = _with_shares(figures, 0.40, 0.40)
    worse = [("all", "certified decided fraction at 0.80, false accepts at most 0.02")]
    assert _worse(champion, _with_shares(figures, 0.40, 0.38)) == worse
    assert _worse(champion, _with_shares(figures, 0.45, 0.345)) == []


def test_a_promise_that_can_no_longer_be_given_is_worse(figures):
    refused = copy.deepcopy(figures)
    refused["certified"] = {"0.80": {"0.02": {"shares": {}}}}
    assert len(_worse(_with_shares(figures, 0.4, 0.4), refused)) == 1


def test_a_held_out_type_that_is_graded_in_silence_more_often_is_worse(figures):
    figures["unseen_types_retested"] = {"NMC21": {"fraction": 1.0}}
    challenger = copy.deepcopy(figures)
    challenger["unseen_types_retested"]["NMC21"]["fraction"] = 0.99
    assert _worse(figures, challenger) == [("NMC21", "left out, declared honestly")]


def test_a_held_out_type_that_passes_as_another_more_often_is_worse(figures):
    figures["misdeclared"] = {"NMC21": {"tester set by the plate": {"visits_safe": {"fraction": 0.99}}}}
    challenger = copy.deepcopy(figures)
    challenger["misdeclared"]["NMC21"]["tester set by the plate"]["visits_safe"]["fraction"] = 0.95
    assert _worse(figures, challenger) == [("NMC21", "left out, declared as another, tester set by the plate")]


def test_a_challenger_that_was_not_asked_about_held_out_types_is_worse(figures):
    figures["unseen_types_retested"] = {"NMC21": {"fraction": 1.0}}
    challenger = copy.deepcopy(figures)
    challenger["unseen_types_retested"] = {}
    assert _worse(figures, challenger) == [("NMC21", "left out, declared honestly")]
