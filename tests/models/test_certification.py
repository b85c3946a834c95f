import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import PackGradeError
from features.feature_set import Method
from models.bundle import REFERENCE_BUNDLE, load_bundle
from models.certification import Certification, certified, certified_method
from models.policy_file import SHIPPED_POLICY, load_policy
from models.risk import CalibrationBatteries, certify
from models.risk_levels import CalibrateBy, RiskLevels, RiskRule, WhenNotCertifiable
from models.thresholds import certified_score

CUTS = (0.80, 0.70, 0.60)
TWO_PERCENT = RiskLevels(0.02, 0.05, 0.95)
FIVE_PERCENT = RiskLevels(0.05, 0.05, 0.95)
RULE = RiskRule(TWO_PERCENT, CalibrateBy.MIX, WhenNotCertifiable.REFUSE, 25)
MIX = {"LFP20": 71, "LFP35": 39, "LMO10": 65, "NMC21": 37}
PULSE = Method.PULSE_TEST


def batteries(mix: dict[str, int], noise: float = 0.03, seed: int = 0) -> CalibrationBatteries:
    draw = np.random.default_rng(seed)
    keys = np.repeat(list(mix), list(mix.values()))
    measured = draw.uniform(0.5, 1.0, len(keys))
    score = np.round(measured + draw.normal(0.0, noise, len(keys)), 4)
    return CalibrationBatteries(keys, score, measured)


def meet(mix: dict[str, int], rule: RiskRule = RULE) -> Certification:
    return certified({PULSE: batteries(mix)}, CUTS, rule)


def test_the_thresholds_in_force_are_those_certified_on_the_grid_scores_are_compared_on() -> None:
    thresholds = meet(MIX).thresholds(PULSE, "LFP35")
    alone = certify(batteries(MIX), 0.80, TWO_PERCENT)
    at_cut = thresholds.at(0.80)
    assert at_cut.accept_at_least == certified_score(at_cut.accept_at_least)
    assert 0.0 <= at_cut.accept_at_least - alone.accept_at_least < 1e-4
    assert at_cut.reject_below == alone.reject_below
    assert thresholds.calibration_batteries == MIX


def test_no_calibration_battery_is_judged_otherwise_than_certified() -> None:
    calibration = batteries(MIX)
    for cut in CUTS:
        alone, at_cut = certify(calibration, cut, TWO_PERCENT), meet(MIX).thresholds(PULSE, "LFP35").at(cut)
        assert np.array_equal(calibration.score >= alone.accept_at_least, calibration.score >= at_cut.accept_at_least)


def test_the_same_batteries_and_rule_give_the_same_thresholds_in_any_order() -> None:
    calibration = batteries(MIX)
    shuffled = calibration.taken(np.random.default_rng(1).permutation(212))
    first, second = (certified({PULSE: each}, CUTS, RULE) for each in (calibration, shuffled))
    assert first == second
    assert first == certified({PULSE: calibration}, CUTS[::-1], RULE)


SCORES = st.lists(st.tuples(st.integers(5000, 10000), st.integers(50, 100)), min_size=60, max_size=150)


@given(SCORES)
def test_thresholds_always_nest_and_are_never_looser_than_certified(pairs: Sequence[tuple[int, int]]) -> None:
    score, measured = np.array(pairs, dtype=float).T / np.array([[1e4], [1e2]])
    calibration = CalibrationBatteries(np.full(len(pairs), "T"), np.round(score, 4), measured)
    method = certified_method(calibration, CUTS, replace(RULE, levels=FIVE_PERCENT))
    thresholds = method.thresholds("T")
    for higher, lower in itertools.pairwise(thresholds.cuts):
        assert higher.accept_at_least >= lower.accept_at_least
        assert higher.reject_below >= lower.reject_below
    for found in method.groups[0].certificates:
        alone = certify(calibration, found.cut_fraction, FIVE_PERCENT)
        assert found.accept_at_least >= alone.accept_at_least
        assert found.reject_below <= alone.reject_below
        assert found.false_accepts.found <= found.false_accepts.allowed


def test_where_a_lower_cut_needs_a_higher_threshold_the_higher_cut_takes_it_too() -> None:
    """One battery at 0.55 looks like 0.93: no cut may accept from below that, so grades nest."""
    sound = batteries({"T": 200}, noise=0.0)
    score, measured = sound.score.copy(), sound.measured_fraction.copy()
    score[0], measured[0] = 0.93, 0.55
    thresholds = certified_method(CalibrationBatteries(sound.type_keys, score, measured), CUTS, RULE).thresholds("T")
    assert [each.accept_at_least for each in thresholds.cuts] == [0.9301, 0.9301, 0.9301]


def test_a_type_with_too_few_batteries_is_left_out_and_nobody_pays_for_it() -> None:
    with_new = meet({**MIX, "NEW": 24})
    assert with_new.thresholds(PULSE, "NEW") is None
    assert with_new.thresholds(PULSE, "LMO10").calibration_batteries == MIX
    assert with_new.methods[PULSE].left_out == {"NEW": 24}
    words = with_new.why_none(PULSE, "NEW")
    assert "24 calibration batteries of type NEW are fewer than the policy asks of a type (25)" in words.en
    assert "24" in words.zh
    with_new.require()


def test_a_new_type_however_bad_moves_no_threshold_of_the_others() -> None:
    known = batteries(MIX)
    bad = np.full(24, 0.5)
    with_new = CalibrationBatteries(
        np.concatenate([known.type_keys, np.full(24, "NEW")]),
        np.concatenate([known.score, np.full(24, 0.99)]),
        np.concatenate([known.measured_fraction, bad]),
    )
    assert certified_method(with_new, CUTS, RULE).thresholds("LMO10") == meet(MIX).thresholds(PULSE, "LMO10")


def test_a_type_with_enough_batteries_is_graded() -> None:
    assert meet({**MIX, "NEW": 25}).thresholds(PULSE, "NEW") is not None


def test_a_type_and_a_method_nobody_calibrated_have_no_thresholds() -> None:
    pair = meet(MIX)
    assert pair.thresholds(PULSE, "NMC2.1") is None
    assert pair.thresholds(Method.PARTIAL_CHARGE, "LMO10") is None
    assert (pair.methods_for("LMO10"), pair.methods_for("NMC2.1")) == ({PULSE}, set())


def test_by_type_every_type_with_enough_batteries_has_thresholds_of_its_own() -> None:
    by_type = replace(RULE, levels=FIVE_PERCENT, calibrate_by=CalibrateBy.TYPE)
    pair = meet(MIX, by_type)
    behind = {key: sorted(pair.thresholds(PULSE, key).calibration_batteries) for key in MIX}
    assert behind == {
        "LFP20": ["LFP20"],
        "LMO10": ["LMO10"],
        "LFP35": ["LFP35", "NMC21"],
        "NMC21": ["LFP35", "NMC21"],
    }


def test_one_percent_on_212_batteries_is_refused_naming_every_cut_and_the_87_missing() -> None:
    pair = meet(MIX, replace(RULE, levels=RiskLevels(0.01, 0.05, 0.95)))
    with pytest.raises(PackGradeError) as refused:
        pair.require()
    assert refused.value.code == "RISK_NOT_CERTIFIABLE"
    assert "Nothing was graded" in refused.value.message
    assert [problem.where for problem in refused.value.problems] == [
        f"pulse_test at cut {cut}" for cut in ("0.80", "0.70", "0.60")
    ]
    assert all("needs 299 calibration batteries, 87 are missing" in each.rule for each in refused.value.problems)
    assert "LFP35 39" in refused.value.problems[0].value


def test_a_policy_that_puts_up_with_it_starts_and_has_no_thresholds() -> None:
    rule = replace(RULE, levels=RiskLevels(0.01, 0.05, 0.95), when_not_certifiable=WhenNotCertifiable.RETEST)
    pair = meet(MIX, rule)
    pair.require()
    assert pair.thresholds(PULSE, "LMO10") is None
    assert "87 are missing" in pair.why_none(PULSE, "LMO10").en


def test_by_type_one_group_may_be_refused_while_another_is_in_force() -> None:
    levels = replace(RULE, levels=FIVE_PERCENT, calibrate_by=CalibrateBy.TYPE)
    pair = meet({"LFP20": 71, "LFP35": 39}, levels)
    assert pair.thresholds(PULSE, "LFP20") is not None
    assert pair.thresholds(PULSE, "LFP35") is None
    with pytest.raises(PackGradeError, match="20 are missing"):
        pair.require()


def test_a_method_without_any_type_of_enough_batteries_is_refused() -> None:
    with pytest.raises(PackGradeError, match=r"149 are missing(.|\n)*no type with enough batteries"):
        meet({"A": 10, "B": 12}).require()


def test_a_bundle_without_a_trained_method_needs_no_certificate() -> None:
    certified({}, CUTS, RULE).require()


def test_the_shipped_bundle_and_policy_go_together_on_212_batteries() -> None:
    bundle, policy = load_bundle(REFERENCE_BUNDLE), load_policy(SHIPPED_POLICY)
    pair = certified(bundle.calibration, policy.cuts, policy.risk)
    pair.require()
    at_best = pair.thresholds(PULSE, "LFP35").at(0.80)
    assert sum(pair.thresholds(PULSE, "LFP35").calibration_batteries.values()) >= 149
    assert 0.80 < at_best.accept_at_least < 0.90
    assert 0.70 < at_best.reject_below <= 0.80


def test_the_shipped_bundle_is_refused_at_one_percent_with_87_batteries_missing() -> None:
    bundle, policy = load_bundle(REFERENCE_BUNDLE), load_policy(SHIPPED_POLICY)
    with pytest.raises(PackGradeError, match="needs 299 calibration batteries, 87 are missing"):
        certified(
            {PULSE: bundle.calibration[PULSE]}, policy.cuts, replace(policy.risk, levels=RiskLevels(0.01, 0.05, 0.95))
        ).require()
