from pathlib import Path

import pytest

from features.errors import InvalidInput
from models.decision import Outcome
from models.part_limits import STRICTEST_PARTS
from models.policy_file import SHIPPED_POLICY, load_policy
from models.risk_levels import CalibrateBy, RiskLevels, RiskRule, WhenNotCertifiable
from models.standing import STRICTEST, Overrider

SHIPPED = SHIPPED_POLICY.read_text(encoding="utf-8")


def load(tmp_path: Path, text: str):
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return load_policy(path)


def test_the_shipped_policy_says_that_it_is_no_legal_standard() -> None:
    policy = load_policy(SHIPPED_POLICY)
    assert policy.status == "example, not a legal standard"
    assert [(band.name, band.minimum_fraction) for band in policy.bands] == [("A", 0.8), ("B", 0.7), ("C", 0.6)]
    assert policy.recycle_below_fraction == 0.6
    assert policy.when_uncertain.value == "downgrade"


def test_the_shipped_policy_says_what_it_risks() -> None:
    risk = load_policy(SHIPPED_POLICY).risk
    assert risk == RiskRule(RiskLevels(0.02, 0.05, 0.95), CalibrateBy.MIX, WhenNotCertifiable.REFUSE, 25)


def test_every_table_with_a_number_names_its_source_and_status() -> None:
    numbered = SHIPPED.count("status = "), SHIPPED.count("source = ")
    assert numbered == (13, 13)


def test_the_shipped_policy_says_what_stands_and_when_events_are_reported() -> None:
    policy = load_policy(SHIPPED_POLICY)
    assert policy.standing.unsafe_outcomes == {Outcome.HOLD, Outcome.RECYCLE}
    assert policy.standing.overridden_by == set(Overrider)
    assert policy.part_rule.best_with[Outcome.RETEST] is Outcome.RETEST
    assert policy.traceability is not None
    assert (policy.traceability.calendar, policy.traceability.working_days["decision"]) == ("china", 15)
    assert policy.traceability.working_days["outcome"] == 30


def test_a_policy_written_before_these_sections_is_read_as_the_strictest(tmp_path: Path) -> None:
    policy = load(tmp_path, SHIPPED[: SHIPPED.index("[standing]")])
    assert policy.standing == STRICTEST
    assert policy.part_rule == STRICTEST_PARTS
    assert policy.traceability is None


def test_the_digest_changes_with_any_byte(tmp_path: Path) -> None:
    assert load(tmp_path, SHIPPED).stamp.sha256 == load_policy(SHIPPED_POLICY).stamp.sha256
    assert load(tmp_path, SHIPPED + "# a note\n").stamp.sha256 != load_policy(SHIPPED_POLICY).stamp.sha256


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('when_uncertain = "downgrade"', 'when_uncertain = "guess"', "decision.when_uncertain"),
        ("maximum_probability_below_cut = 0.05", 'maximum_probability_below_cut = "0.05"', "valid number"),
        ("maximum_probability_below_cut = 0.05", "maximum_probability_below_cut = nan", "finite"),
        ("maximum_probability_below_cut = 0.05", "maximum_probability_below = 0.05", "Extra inputs"),
        ("required = true", 'required = "yes"', "gates.insulation.required"),
        ('order = ["identity", "appearance", ', 'order = ["appearance", ', "every gate once"),
        ("below_state_of_health_fraction = 0.80", "below_state_of_health_fraction = 0.78", "leaves a gap"),
        ('"street_lighting"', '"e_bicycle"', "e-bicycles"),
        ("minutes = 360", "minutes = 0", "next_tests.3.minutes"),
        ("[gates.alarms]", "[gates.alarms", "must be UTF-8 TOML"),
        ("max_false_accept_share = 0.02", "max_false_accept_share = 0.0", "risk.max_false_accept_share"),
        ("max_false_reject_share = 0.05", 'max_false_reject_share = "5 %"', "risk.max_false_reject_share"),
        ("confidence = 0.95", "confidence = 1.0", "risk.confidence"),
        ('calibrate_by = "mix"', 'calibrate_by = "station"', "risk.calibrate_by"),
        ('when_not_certifiable = "refuse"', 'when_not_certifiable = "ignore"', "risk.when_not_certifiable"),
        ("least_batteries_per_type = 25", "least_batteries = 25", "risk.least_batteries_per_type"),
        ("least_batteries_per_type = 25", "least_batteries_per_type = 0", "risk.least_batteries_per_type"),
        ('unsafe_outcomes = ["hold", "recycle"]', 'unsafe_outcomes = ["recycle"]', "must name hold"),
        ('unsafe_outcomes = ["hold", "recycle"]', 'unsafe_outcomes = ["hold", "unsafe"]', "standing.unsafe_outcomes"),
        ('overridden_by = ["capacity_test", "named_person"]', "overridden_by = []", "must name named_person"),
        ('with_retest = "retest"', 'with_retest = "cascade"', "parts.with_retest"),
        ("decision = 15", "decision = 0", "traceability.working_days.decision"),
        ("decision = 15", "decision = 15.5", "traceability.working_days.decision"),
        ("recoding = 15", "", "traceability.working_days.recoding"),
        ('calendar = "china"', "", "traceability.calendar"),
        ("lowest_temperature_celsius = 15.0", "lowest_temperature_celsius = 40.0", "must lie below"),
        ("lowest_discharge_rate_c = 0.18", "lowest_discharge_rate_c = 1.3", "must lie below"),
    ],
)
def test_a_damaged_policy_is_refused_naming_what_is_wrong(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in SHIPPED
    with pytest.raises(InvalidInput, match=complaint):
        load(tmp_path, SHIPPED.replace(old, new, 1))


def test_a_missing_policy_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="must be a readable file"):
        load_policy(tmp_path / "nowhere.toml")
