"""``packgrade policy check``: what a bundle and a policy promise together."""

import json
from pathlib import Path

from models.policy_file import SHIPPED_POLICY
from serving.cli import EXIT_BAD_INPUT, EXIT_DIFFERS, EXIT_DONE, EXIT_UNUSABLE, main
from tests.support.untrained_bundle import untrained_bundle

SHIPPED = SHIPPED_POLICY.read_text(encoding="utf-8")
STRICT = SHIPPED.replace("max_false_accept_share = 0.02", "max_false_accept_share = 0.01")


def policy_file(folder: Path, text: str) -> str:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_shipped_pair_prints_every_cut_and_type_with_its_errors_and_the_promise(capsys) -> None:
    assert main(["policy", "check"]) == EXIT_DONE
    printed = " ".join(capsys.readouterr().out.split())
    for said in ("example 2026-11", "pulse_test", "0.80", "0.70", "0.60", "LFP20", "LFP35", "LMO10", "NMC21", "0 of 0"):
        assert said in printed
    assert "at most 2 % are accepted although below it" in printed
    assert "Not graded: 0 calibration batteries of type NMC2.1" in printed
    assert "The promise holds for the calibration mix of types only" in printed


def test_one_percent_is_refused_with_the_87_missing_batteries_and_exit_code_one(tmp_path: Path, capsys) -> None:
    assert main(["policy", "check", "--policy", policy_file(tmp_path, STRICT)]) == EXIT_DIFFERS
    printed = " ".join(capsys.readouterr().out.split())
    assert "REFUSED pulse_test" in printed
    assert "212 batteries calibrate it" in printed
    assert "at least 299 without an error are needed, 87 are missing" in printed


def test_a_policy_that_asks_again_instead_still_says_what_cannot_be_promised(tmp_path: Path) -> None:
    lenient = STRICT.replace('when_not_certifiable = "refuse"', 'when_not_certifiable = "retest"')
    assert main(["policy", "check", "--policy", policy_file(tmp_path, lenient)]) == EXIT_DIFFERS


def test_thresholds_and_refusals_are_there_for_programs(tmp_path: Path, capsys) -> None:
    assert main(["policy", "check", "--json"]) == EXIT_DONE
    certificates = json.loads(capsys.readouterr().out)["pulse_test"]["certificates"]
    assert [each["cut_fraction"] for each in certificates] == [0.8, 0.7, 0.6]
    assert all(each["reject_below"] <= each["cut_fraction"] <= each["accept_at_least"] for each in certificates)
    assert main(["policy", "check", "--json", "--policy", policy_file(tmp_path, STRICT)]) == EXIT_DIFFERS
    refusals = json.loads(capsys.readouterr().out)["pulse_test"]["refusals"]
    assert [each["batteries_missing"] for each in refusals] == [87, 87, 87]


def test_a_bundle_without_a_trained_method_promises_nothing_and_is_no_refusal(tmp_path: Path, capsys) -> None:
    assert main(["policy", "check", "--bundle", str(untrained_bundle(tmp_path / "bundle"))]) == EXIT_DONE
    assert "no trained method" in capsys.readouterr().out


def test_a_policy_or_bundle_that_cannot_be_read_is_an_error_of_its_own(tmp_path: Path, capsys) -> None:
    assert main(["policy", "check", "--bundle", str(tmp_path)]) == EXIT_UNUSABLE
    assert "BUNDLE_UNREADABLE" in capsys.readouterr().err
    broken = policy_file(tmp_path, SHIPPED.replace("[risk]", "[risks]"))
    assert main(["policy", "check", "--policy", broken]) == EXIT_BAD_INPUT
    assert "risk: Field required" in capsys.readouterr().err
