import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidInput
from models.certificate import CannotPromise, Certificate, CutVerdict, ErrorBudget
from models.promise import promise_in_words, refusal_in_words
from models.risk import CalibrationBatteries, certify, certify_by_type
from models.risk_levels import RiskLevels

CUT = 0.80
TWO_PERCENT = RiskLevels(0.02, 0.05, 0.95)
FIVE_PERCENT = RiskLevels(0.05, 0.05, 0.95)
DEVELOPMENT_MIX = {"LFP20": 71, "LFP35": 39, "LMO10": 65, "NMC21": 37}


def batteries(mix: dict[str, int], noise: float = 0.03, seed: int = 0) -> CalibrationBatteries:
    draw = np.random.default_rng(seed)
    keys = np.repeat(list(mix), list(mix.values()))
    measured = draw.uniform(0.6, 1.0, len(keys))
    return CalibrationBatteries(keys, measured + draw.normal(0.0, noise, len(keys)), measured)


def certified(calibration: CalibrationBatteries, levels: RiskLevels, cut: float = CUT) -> Certificate:
    found = certify(calibration, cut, levels)
    assert isinstance(found, Certificate)
    return found


def refused(calibration: CalibrationBatteries, levels: RiskLevels) -> CannotPromise:
    found = certify(calibration, CUT, levels)
    assert isinstance(found, CannotPromise)
    return found


def test_one_percent_is_refused_on_212_batteries_and_87_are_missing() -> None:
    refusal = refused(batteries(DEVELOPMENT_MIX, noise=0.0), RiskLevels(0.01, 0.05, 0.95))
    assert (refusal.battery_count, refusal.batteries_needed, refusal.batteries_missing) == (212, 299, 87)
    words = refusal_in_words(refusal)
    for said in (words.en, words.zh):
        assert all(part in said for part in ("1 %", "80 %", "95 %", "212", "299", "87", "LFP35 39"))


@pytest.mark.parametrize(("count", "answer"), [(148, CannotPromise), (149, Certificate)])
def test_two_percent_takes_149_batteries(count: int, answer: type) -> None:
    assert isinstance(certify(batteries({"LMO10": count}), CUT, TWO_PERCENT), answer)


def test_the_stricter_of_both_levels_decides_how_many_are_needed() -> None:
    refusal = refused(batteries({"LMO10": 100}), RiskLevels(0.05, 0.02, 0.95))
    assert refusal.batteries_needed == 149


def test_without_any_battery_nothing_is_promised() -> None:
    refusal = refused(batteries(DEVELOPMENT_MIX).taken(np.zeros(212, dtype=bool)), FIVE_PERCENT)
    assert (refusal.battery_count, refusal.batteries_missing) == (0, 59)


def test_with_no_error_allowed_the_threshold_stands_just_above_the_best_looking_bad_battery() -> None:
    calibration = batteries(DEVELOPMENT_MIX)
    certificate = certified(calibration, TWO_PERCENT)
    best_looking = calibration.score[calibration.measured_fraction < CUT].max()
    verdicts = certificate.decide(np.array([best_looking, np.nextafter(best_looking, 1.0)]))
    assert verdicts.tolist() == [CutVerdict.UNDECIDED, CutVerdict.ACCEPT]
    assert certificate.false_accepts == ErrorBudget(0, 0, pytest.approx(1.0 - 0.05 ** (1 / 212)))


def test_five_good_batteries_may_be_rejected_and_the_sixth_is_not() -> None:
    calibration = batteries(DEVELOPMENT_MIX, noise=0.06)
    certificate = certified(calibration, TWO_PERCENT)
    good = np.sort(calibration.score[calibration.measured_fraction >= CUT])
    assert certificate.reject_below == good[5]
    assert (certificate.false_rejects.allowed, certificate.false_rejects.found) == (5, 5)
    assert certificate.false_rejects.upper_bound_share <= 0.05


def test_a_battery_measured_exactly_at_the_cut_is_not_below_it() -> None:
    certificate = certified(CalibrationBatteries(np.full(200, "T"), np.full(200, 0.9), np.full(200, CUT)), TWO_PERCENT)
    assert certificate.types["T"].accepted == 200
    assert certificate.false_accepts.found == 0


def test_with_perfect_scores_both_thresholds_meet_at_the_cut_and_go_no_further() -> None:
    certificate = certified(batteries(DEVELOPMENT_MIX, noise=0.0), TWO_PERCENT)
    assert (certificate.reject_below, certificate.accept_at_least) == (CUT, CUT)
    assert certificate.decide(np.array([0.7999, 0.80])).tolist() == [CutVerdict.REJECT, CutVerdict.ACCEPT]


def test_batteries_with_the_same_score_get_the_same_verdict_even_if_that_decides_none() -> None:
    measured = np.where(np.arange(300) % 2 == 0, 0.7, 0.9)
    certificate = certified(CalibrationBatteries(np.full(300, "T"), np.full(300, 0.85), measured), TWO_PERCENT)
    assert set(certificate.decide(np.full(4, 0.85))) == {CutVerdict.UNDECIDED}


def test_what_the_calibration_batteries_would_have_got_is_told_per_type() -> None:
    calibration = batteries(DEVELOPMENT_MIX)
    certificate = certified(calibration, TWO_PERCENT)
    verdicts = certificate.decide(calibration.score)
    for key, tally in certificate.types.items():
        of_type = verdicts[calibration.type_keys == key]
        assert tally.batteries == DEVELOPMENT_MIX[key]
        assert tally.accepted == np.count_nonzero(of_type == CutVerdict.ACCEPT)
        assert tally.rejected == np.count_nonzero(of_type == CutVerdict.REJECT)
    assert sum(tally.false_rejects for tally in certificate.types.values()) == certificate.false_rejects.found


SCORES = st.lists(st.tuples(st.integers(60, 100), st.integers(60, 100)), min_size=14, max_size=120)
SHARES = st.sampled_from([0.05, 0.1, 0.2, 0.3])


def drawn(pairs: list[tuple[int, int]]) -> CalibrationBatteries:
    score, measured = np.array(pairs, dtype=float).T / 100.0
    return CalibrationBatteries(np.array(["T"] * len(pairs)), score, measured)


def thresholds(calibration: CalibrationBatteries, levels: RiskLevels) -> tuple[float, float]:
    """Accept and reject threshold; a refusal decides nothing."""
    found = certify(calibration, CUT, levels)
    return (found.accept_at_least, found.reject_below) if isinstance(found, Certificate) else (math.inf, -math.inf)


@given(SCORES, SHARES, SHARES)
def test_a_lower_risk_level_never_decides_more(pairs, one: float, other: float) -> None:
    calibration, lower, higher = drawn(pairs), min(one, other), max(one, other)
    strict_accept, strict_reject = thresholds(calibration, RiskLevels(lower, lower, 0.9))
    loose_accept, loose_reject = thresholds(calibration, RiskLevels(higher, higher, 0.9))
    assert strict_accept >= loose_accept
    assert strict_reject <= loose_reject


@given(SCORES, SHARES, st.data())
def test_a_battery_that_turns_out_worse_never_loosens_the_accept_threshold(pairs, share: float, data) -> None:
    calibration, levels = drawn(pairs), RiskLevels(share, share, 0.9)
    worse = calibration.measured_fraction.copy()
    worse[data.draw(st.integers(0, len(pairs) - 1))] = 0.5
    assert thresholds(replace(calibration, measured_fraction=worse), levels)[0] >= thresholds(calibration, levels)[0]


@given(SCORES, SHARES, st.data())
def test_a_battery_that_turns_out_better_never_loosens_the_reject_threshold(pairs, share: float, data) -> None:
    calibration, levels = drawn(pairs), RiskLevels(share, share, 0.9)
    better = calibration.measured_fraction.copy()
    better[data.draw(st.integers(0, len(pairs) - 1))] = 0.99
    assert thresholds(replace(calibration, measured_fraction=better), levels)[1] <= thresholds(calibration, levels)[1]


@given(SCORES, SHARES, SHARES)
def test_the_thresholds_never_overlap_and_the_errors_found_are_within_those_allowed(pairs, accept, reject) -> None:
    found = certify(drawn(pairs), CUT, RiskLevels(accept, reject, 0.8))
    if isinstance(found, Certificate):
        assert found.reject_below <= CUT <= found.accept_at_least
        assert found.false_accepts.found <= found.false_accepts.allowed
        assert found.false_accepts.upper_bound_share <= accept
        assert found.false_rejects.upper_bound_share <= reject


@given(SCORES, SHARES, st.randoms(use_true_random=False))
def test_the_order_of_the_batteries_changes_nothing(pairs, share: float, chance) -> None:
    levels = RiskLevels(share, share, 0.9)
    shuffled = chance.sample(pairs, len(pairs))
    assert certify(drawn(shuffled), CUT, levels) == certify(drawn(pairs), CUT, levels)


def test_a_type_with_enough_batteries_is_certified_alone_and_the_others_together() -> None:
    grouped = certify_by_type(batteries(DEVELOPMENT_MIX), CUT, FIVE_PERCENT)
    assert [sorted(group.types) for group in grouped] == [["LFP20"], ["LMO10"], ["LFP35", "NMC21"]]
    assert all(isinstance(group, Certificate) for group in grouped)


def test_at_two_percent_no_single_type_suffices_and_all_are_certified_together() -> None:
    calibration = batteries(DEVELOPMENT_MIX)
    assert certify_by_type(calibration, CUT, TWO_PERCENT) == (certify(calibration, CUT, TWO_PERCENT),)


def test_the_others_refuse_where_they_are_too_few_together() -> None:
    alone, refusal = certify_by_type(batteries({"LFP20": 71, "LFP35": 39}), CUT, FIVE_PERCENT)
    assert isinstance(alone, Certificate)
    assert isinstance(refusal, CannotPromise)
    assert (refusal.types, refusal.batteries_missing) == ({"LFP35": 39}, 20)


@given(st.dictionaries(st.sampled_from("ABCDE"), st.integers(1, 130), min_size=1))
def test_every_type_of_the_calibration_is_in_exactly_one_group(mix: dict[str, int]) -> None:
    groups = certify_by_type(batteries(mix), CUT, FIVE_PERCENT)
    assert sorted(key for group in groups for key in group.types) == sorted(mix)
    assert sum(group.battery_count for group in groups) == sum(mix.values())


def test_a_good_type_does_not_pay_for_a_bad_one_and_a_bad_one_does_not_hide_behind_it() -> None:
    good, bad = batteries({"GOOD": 150}, noise=0.003), batteries({"BAD": 150}, noise=0.08)
    both = CalibrationBatteries(
        np.concatenate([good.type_keys, bad.type_keys]),
        np.concatenate([good.score, bad.score]),
        np.concatenate([good.measured_fraction, bad.measured_fraction]),
    )
    pooled, grouped = certified(both, TWO_PERCENT), certify_by_type(both, CUT, TWO_PERCENT)
    alone = {key: group for group in grouped for key in group.types}
    assert all(isinstance(each, Certificate) for each in alone.values())
    assert alone["GOOD"].accept_at_least < pooled.accept_at_least <= alone["BAD"].accept_at_least
    assert alone["GOOD"].accept_at_least < CUT + 0.02


def test_the_promise_says_of_what_the_shares_are_and_that_it_holds_for_the_mix_only() -> None:
    words = promise_in_words(certified(batteries(DEVELOPMENT_MIX), TWO_PERCENT))
    for part in ("Of all batteries presented", "212 batteries", "LMO10 65", "2 %", "5 %", "95 %"):
        assert part in words.en
    assert words.en.endswith("This holds for the calibration mix of types only, not for any single type.")
    assert words.zh.endswith("此承诺仅适用于校准样本的类型构成,不适用于任何单一类型。")


def test_the_promise_of_a_single_type_names_it() -> None:
    words = promise_in_words(certified(batteries({"LMO10": 200}), TWO_PERCENT))
    assert words.en.endswith("This holds for batteries of type LMO10 only.")


@pytest.mark.parametrize("level", [0.0, 1.0, -0.02, math.nan])
def test_a_level_that_is_no_share_is_refused_by_name(level: float) -> None:
    with pytest.raises(InvalidInput, match=r"RISK_LEVELS_NOT_SOUND(.|\n)*max_false_reject_share"):
        RiskLevels(0.02, level, 0.95)


def test_a_score_that_is_no_number_is_refused_with_its_place() -> None:
    calibration = batteries({"LMO10": 200})
    with pytest.raises(InvalidInput, match=r"score\[3\]: must be finite \(got nan\)"):
        replace(calibration, score=np.where(np.arange(200) == 3, np.nan, calibration.score))
    with pytest.raises(ValueError, match="got inf at position 1"):
        certified(calibration, TWO_PERCENT).decide(np.array([0.9, np.inf]))


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"measured_fraction: must have one number per battery \(2\)"):
        CalibrationBatteries(np.array(["A", "B"]), np.array([0.8, 0.9]), np.array([0.8]))


def test_a_certificate_with_overlapping_thresholds_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="reject_below <= cut <= accept_at_least"):
        replace(certified(batteries(DEVELOPMENT_MIX), TWO_PERCENT), reject_below=0.9)
