"""CDF@α: every battery presented once per split, shares of all presented, refusals told."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from models.risk import CalibrationBatteries
from models.risk_levels import CalibrateBy, RiskLevels, RiskRule, WhenNotCertifiable
from training.certified import ALL_TYPES, at_alpha, calibrating_batteries, certified_fractions
from training.certified_report import print_certified
from training.report import print_evaluation

RULE = RiskRule(RiskLevels(0.02, 0.05, 0.95), CalibrateBy.MIX, WhenNotCertifiable.REFUSE, 25)
SPLITS = (0.75, 50, 0)
MIX = {"LFP20": 71, "LFP35": 39, "LMO10": 65, "NMC21": 37}


def batteries(noise: float, mix: dict[str, int] = MIX) -> tuple[CalibrationBatteries, np.ndarray]:
    draw = np.random.default_rng(4)
    keys = np.repeat(list(mix), list(mix.values()))
    measured = draw.uniform(0.6, 1.0, len(keys))
    score = np.round(measured + draw.normal(0.0, noise, len(keys)), 4)
    cells = np.array([f"cell {number}" for number in range(len(keys))], dtype=object)
    return CalibrationBatteries(keys, score, measured), cells


def fractions(noise: float, alphas: tuple[float, ...] = (), rule: RiskRule = RULE, mix: dict[str, int] = MIX):
    presented, cells = batteries(noise, mix)
    return certified_fractions(presented, cells, 0.80, at_alpha(rule, alphas), SPLITS)


def test_three_quarters_calibrate_and_one_quarter_is_presented_in_fifty_splits() -> None:
    (found,) = fractions(0.03)
    assert (found.calibrating, found.presented, found.split_count) == (159, 53, 50)
    assert found.shares[ALL_TYPES].battery_count == 212


def test_shares_are_of_all_presented_and_add_up() -> None:
    for shares in fractions(0.03)[0].shares.values():
        assert shares.accepted + shares.rejected + shares.undecided == pytest.approx(1.0)
        assert shares.decided == pytest.approx(1.0 - shares.undecided)
        assert shares.false_accepts <= shares.accepted
        assert shares.false_rejects <= shares.rejected


def test_perfect_scores_decide_everything_and_nothing_wrongly() -> None:
    shares = fractions(0.0)[0].shares[ALL_TYPES]
    assert (shares.undecided, shares.false_accepts, shares.false_rejects) == (0.0, 0.0, 0.0)


def test_noisier_scores_decide_less_and_still_keep_what_is_promised() -> None:
    sharp, blunt = fractions(0.02)[0], fractions(0.06)[0]
    assert blunt.shares[ALL_TYPES].decided < sharp.shares[ALL_TYPES].decided
    assert sharp.holds
    assert blunt.holds


def test_one_percent_is_refused_with_the_87_missing_batteries_and_two_percent_is_not() -> None:
    strict, usual = fractions(0.03, alphas=(0.01,))
    assert (strict.shares, strict.holds) == ({}, False)
    assert [each.batteries_missing for each in strict.refusals] == [87]
    assert usual.refusals == ()


def test_a_promise_all_batteries_support_and_three_quarters_do_not_is_no_refusal_but_decides_nothing() -> None:
    """150 batteries support 2 % (149 needed), 112 of them do not."""
    (found,) = fractions(0.0, mix={"LMO10": 150})
    assert found.shares == {}
    assert found.refusals == ()


def test_no_physical_cell_calibrates_what_it_is_presented_to() -> None:
    """With one cell under every second name, a leak would accept what calibrated it."""
    presented, cells = batteries(0.03)
    doubled = np.array([cells[number // 2] for number in range(len(cells))], dtype=object)
    (found,) = certified_fractions(presented, doubled, 0.80, (RULE,), SPLITS)
    assert found.calibrating + found.presented == 212


def test_a_type_with_too_few_batteries_is_presented_and_never_decided() -> None:
    (found,) = fractions(0.0, mix={**MIX, "NEW": 20})
    assert found.shares["NEW"].undecided == 1.0
    assert found.shares["LMO10"].undecided == 0.0


def test_by_type_no_type_borrows_from_another() -> None:
    by_type = replace(RULE, levels=RiskLevels(0.05, 0.05, 0.95), calibrate_by=CalibrateBy.TYPE)
    (found,) = fractions(0.02, rule=by_type, mix={"A": 120, "B": 120})
    assert found.holds
    assert min(found.shares[key].decided for key in ("A", "B")) > 0.3


def test_held_out_facts_are_compared_on_the_grid_the_service_compares_on(tiny_judged) -> None:
    facts = tiny_judged.held_out.facts
    read = calibrating_batteries(facts.taken(facts.visits))
    assert read.score.tolist() == [round(score, 4) for score in facts.point[facts.visits]]
    assert read.counts == {"LFP20": 24, "NMC21": 24}


def test_what_training_certifies_is_what_the_service_reads_from_the_bundle(tiny_judged, tiny_bundle) -> None:
    facts = tiny_judged.held_out.facts
    trained, served = calibrating_batteries(facts.taken(facts.visits)), tiny_bundle.calibration[tiny_judged.plan.method]
    assert sorted(zip(trained.type_keys, trained.score, strict=True)) == sorted(
        zip(served.type_keys, served.score, strict=True)
    )


def test_the_print_tells_shares_refusals_and_what_the_promise_holds_for() -> None:
    screen = StringIO()
    found = fractions(0.03, alphas=(0.01,))
    print_certified(Console(file=screen, width=140), {"0.80": {str(number): each for number, each in enumerate(found)}})
    said = " ".join(screen.getvalue().split())
    for part in ("CDF@α", "accepted", "rejected", "refused in every split", "87 are missing", "LFP35"):
        assert part in said
    assert "The promise holds for the calibration mix of types only." in said


def test_an_evaluation_carries_the_fraction_per_cut_and_alpha(tiny_judged) -> None:
    certified = tiny_judged.evaluation.certified
    assert list(certified) == ["0.80", "0.70", "0.60"]
    assert list(certified["0.80"]) == ["0.01", "0.02", "0.05"]
    plain = tiny_judged.evaluation.plain()["certified"]["0.80"]["0.01"]
    assert plain["rule"]["levels"]["max_false_accept_share"] == 0.01
    assert plain["refusals"][0]["batteries_needed"] == 299


def test_a_printed_evaluation_shows_the_certified_fraction(tiny_judged) -> None:
    screen = StringIO()
    print_evaluation(Console(file=screen, width=140), tiny_judged.evaluation, tiny_judged.plan.method)
    said = " ".join(screen.getvalue().split())
    assert "Certified at state of health 0.80" in said
    assert "REFUSED At most 1 % false accepts" in said
