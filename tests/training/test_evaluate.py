import numpy as np
import pandas as pd
import pytest

from models.decision import Outcome
from models.policy_file import SHIPPED_POLICY, load_policy
from tests.support.cases import THRESHOLDS
from training.evaluate import grid_figures, visit_figures

POLICY = load_policy(SHIPPED_POLICY)


def _estimates(*rows):
    """Rows of (measured, estimated, half width); probabilities follow the point."""
    table = pd.DataFrame(rows, columns=["measured", "estimated", "half"])
    table["lower"], table["upper"] = table["estimated"] - table["half"], table["estimated"] + table["half"]
    for cut in POLICY.cuts:
        below = np.where(table["lower"] >= cut, 0.01, np.where(table["upper"] < cut, 0.99, 0.5))
        table[f"p_below_{cut:.2f}"] = table[f"p_predictive_below_{cut:.2f}"] = below
    plate = {"level": "cell", "chemistry": "LFP", "rated_capacity_ah": 20.0, "type_designation": None}
    names = [f"b{number}" for number in range(len(table))]
    return table.assign(
        battery_id=names,
        type_key="LFP20",
        method="pulse_test",
        coverage_fraction=0.9,
        distance=0.5,
        thresholds=pd.Series([THRESHOLDS] * len(table), dtype=object),
        **plate,
    )


def test_a_battery_graded_above_a_cut_it_lies_below_is_a_false_accept():
    figures = visit_figures(_estimates((0.78, 0.85, 0.03), (0.86, 0.85, 0.03)), POLICY)["LFP20"]
    assert (figures.cuts["0.80"].false_accepts.count, figures.cuts["0.80"].false_accepts.total) == (1, 2)
    assert figures.cuts["0.70"].false_accepts.count == 0


def test_a_battery_rejected_at_a_cut_it_clears_is_a_false_reject():
    figures = visit_figures(_estimates((0.82, 0.75, 0.03), (0.74, 0.75, 0.03)), POLICY)["LFP20"]
    assert (figures.cuts["0.80"].false_rejects.count, figures.cuts["0.80"].false_rejects.total) == (1, 2)


def test_a_score_between_the_thresholds_of_a_cut_decides_nothing_there():
    figures = visit_figures(_estimates((0.81, 0.80, 0.03)), POLICY)["LFP20"]
    assert figures.cuts["0.80"].undecided.count == 1
    assert figures.outcomes[Outcome.CASCADE].count == 1


def test_without_a_certificate_nothing_is_decided():
    uncertified = _estimates((0.9, 0.9, 0.01)).assign(thresholds=pd.Series([None], dtype=object))
    figures = visit_figures(uncertified, POLICY)["LFP20"]
    assert figures.outcomes[Outcome.RETEST].count == 1
    assert all(each.undecided.count == 1 for each in figures.cuts.values())


def test_a_measurement_unlike_its_type_is_undecided_whatever_its_estimate():
    figures = visit_figures(_estimates((0.9, 0.9, 0.01)).assign(distance=1.5), POLICY)["LFP20"]
    assert figures.outcomes[Outcome.RETEST].count == 1
    assert figures.cuts["0.60"].accepted.count == 0


def test_a_pack_is_judged_as_if_its_insulation_had_been_measured():
    figures = visit_figures(_estimates((0.9, 0.9, 0.01)).assign(level="pack"), POLICY)["LFP20"]
    assert figures.outcomes[Outcome.CASCADE].count == 1


def test_a_vehicles_record_is_accepted_up_to_the_policys_ceiling_for_it_and_no_higher():
    reported = _estimates((0.9, 0.9, 0.01)).assign(method="field_telemetry", level="pack")
    cuts = visit_figures(reported, POLICY)["LFP20"].cuts
    assert [cuts[cut].accepted.count for cut in ("0.80", "0.70", "0.60")] == [0, 0, 1]


def test_coverage_counts_measured_capacities_inside_their_interval():
    figures = visit_figures(_estimates((0.9, 0.9, 0.01), (0.95, 0.9, 0.01)), POLICY)
    assert (figures["all"].covered.count, figures["all"].covered.total) == (1, 2)
    assert figures["all"].mean_width == pytest.approx(0.02)


def test_grid_errors_are_means_over_rows_and_over_batteries():
    rows = _estimates((0.8, 0.88, 0.1), (0.8, 0.88, 0.1), (0.8, 0.8, 0.1))
    figures = grid_figures(rows.assign(battery_id=["a", "a", "b"]))["all"]
    assert figures.errors.mean_absolute_percentage_error == pytest.approx(0.0667, abs=1e-4)
    assert figures.mean_absolute_percentage_error_per_battery == pytest.approx(0.05)


def test_without_grid_rows_there_are_no_grid_figures():
    assert grid_figures(_estimates().iloc[:0]) == {}
