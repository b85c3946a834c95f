"""What held-out batteries say about a recipe: errors, coverage, and what the policy would have decided.

Every figure here rests on predictions for physical cells the models did not see. The policy is the
one the service uses; accepted, rejected and undecided are its decisions, and a false accept is a
battery it called at least as good as a cut that the bench measured below it.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.feature_set import FeatureVector, Method
from features.measurement import BatteryIdentity, Inspection
from features.vocabulary import Provenance
from models.applicability import outside_known_range
from models.assessment import assess
from models.bundle import Bundle
from models.certification import certified
from models.decision import Assessment, CapacityEstimate, GradingCase, GradingDecision, Outcome, cut_key
from models.policy import Policy
from models.policy_file import load_policy
from models.thresholds import Thresholds, certified_score
from training.calibrate import calibrate
from training.certified import (
    CertifiedFraction,
    at_alpha,
    calibrating_batteries,
    certified_fractions,
    thresholds_without_own_fold,
)
from training.crossfit import HeldOut, Progress, coverage_over_splits, held_out_estimates
from training.evaluation import ALL_TYPES, CutFigures, Evaluation, GridFigures, TypeFigures
from training.fit import fit_models
from training.labels import identities
from training.metrics import Share, point_errors, reliability, suitability_scores
from training.misdeclared import MisdeclaredFigures, Reading, misdeclared_figures
from training.plan import Plan
from training.table import FeatureTable
from training.unseen import bundle_without_type, cases

SHOWN_ALPHAS = (0.01, 0.02, 0.05)
"""Shares of false accepts at which the certified decided fraction is shown, beside the policy's own."""

_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
"""Decisions on held-out estimates do not depend on the day."""

_SOUND = Inspection(insulation_ohm_per_volt=1e6)
"""A pack whose insulation nobody measured is retested; what is judged here is the estimate."""


def evaluate(
    plan: Plan, table: FeatureTable, held_out: HeldOut, policy_file: Path, progress: Progress
) -> tuple[Evaluation, pd.DataFrame]:
    """Judge a recipe on held-out cells under a policy.

    Parameters
    ----------
    plan : Plan
        The recipe.
    table : FeatureTable
        All rows.
    held_out : HeldOut
        Its predictions for cells it did not see.
    policy_file : Path
        Policy that decides.
    progress : callable
        Called with a sentence before each step that takes time.

    Returns
    -------
    evaluation : Evaluation
        The figures.
    estimates : DataFrame
        The held-out estimates they rest on (`training.crossfit.held_out_estimates`).
    """
    policy = load_policy(policy_file)
    estimates = held_out_estimates(plan, held_out, policy.cuts)
    in_force = thresholds_without_own_fold(held_out.facts, held_out.fold_of_row, policy.cuts, policy.risk)
    visited = estimates["visit"].to_numpy(dtype=np.bool_)
    visits, grid = estimates[visited], estimates[~visited]
    visits = visits.assign(thresholds=pd.Series(in_force, dtype=object)).reset_index(drop=True)
    left_out = _left_out(plan, table, held_out, policy, progress)
    evaluation = Evaluation(
        coverage_fraction=plan.bundle.coverage_fraction,
        visits=visit_figures(visits, policy),
        grid=grid_figures(grid),
        coverage_over_splits=coverage_over_splits(plan, held_out),
        unseen_types_retested=left_out.retested,
        misdeclared=left_out.misdeclared,
        reliability=_reliability(visits, policy),
        booster_weights=calibrate(plan, held_out.facts).booster_weights,
        certified=_certified(plan, held_out, policy),
        policy={"policy_id": policy.stamp.policy_id, "version": policy.stamp.version},
    )
    return evaluation, estimates


def visit_figures(estimates: pd.DataFrame, policy: Policy) -> dict[str, TypeFigures]:
    """Figures per type and in all.

    Parameters
    ----------
    estimates : DataFrame
        Held-out estimates, one row per battery: the label columns, ``method``, ``type_key``, ``measured``,
        ``estimated``, ``lower``, ``upper`` (fractions of rated capacity), ``p_below_0.80`` and
        ``p_predictive_below_0.80`` (without a classifier) … per cut, and ``thresholds`` (certified without
        the battery, None where nothing was).
    policy : Policy
        Policy that decides.

    Returns
    -------
    dict of str to TypeFigures
        Keyed by type, ``all`` last.
    """
    decisions = np.array([policy.decide(*held) for held in _cases(estimates, policy)], dtype=object)
    per_type = {
        str(key): _figures(estimates.loc[rows], decisions[rows], policy)
        for key, rows in estimates.groupby("type_key").groups.items()
    }
    return {**per_type, ALL_TYPES: _figures(estimates, decisions, policy)}


def grid_figures(estimates: pd.DataFrame) -> dict[str, GridFigures]:
    """Figures of grid rows per type and in all; empty without rows."""
    if estimates.empty:
        return {}
    per_type = {str(key): _grid(rows) for key, rows in estimates.groupby("type_key")}
    return {**per_type, ALL_TYPES: _grid(estimates)}


def _grid(rows: pd.DataFrame) -> GridFigures:
    relative = (rows["estimated"] / rows["measured"] - 1.0).abs()
    return GridFigures(
        errors=point_errors(rows["measured"].to_numpy(), rows["estimated"].to_numpy()),
        mean_absolute_percentage_error_per_battery=float(relative.groupby(rows["battery_id"]).mean().mean()),
        covered=Share.of(rows["measured"].between(rows["lower"], rows["upper"]).to_numpy()),
        mean_width=float((rows["upper"] - rows["lower"]).mean()),
    )


def _certified(plan: Plan, held_out: HeldOut, policy: Policy) -> dict[str, dict[str, CertifiedFraction]]:
    visits = held_out.facts.visits
    batteries = calibrating_batteries(held_out.facts.taken(visits))
    cells, asked = held_out.table.physical_cells[visits], plan.splits
    splits = (asked.calibration_share, asked.calibration_split_count, asked.seed)
    rules = at_alpha(policy.risk, SHOWN_ALPHAS)
    return {
        cut_key(cut): {
            f"{each.rule.levels.max_false_accept_share:g}": each
            for each in certified_fractions(batteries, cells, cut, rules, splits)
        }
        for cut in policy.cuts
    }


@dataclass(frozen=True)
class _LeftOut:
    """Types left out of training: how many tests were sent to retest, and what a wrong declaration does."""

    retested: Mapping[str, Share]
    misdeclared: Mapping[str, Mapping[str, MisdeclaredFigures]]


def _left_out(plan: Plan, table: FeatureTable, held_out: HeldOut, policy: Policy, progress: Progress) -> _LeftOut:
    if not plan.splits.unseen_type_keys:
        return _LeftOut({}, {})
    progress("leaving out one type after the other")
    models = fit_models(plan, table, ())
    retested, misdeclared = {}, {}
    for key in plan.splits.unseen_type_keys:
        bundle = bundle_without_type(plan, table, held_out, models, key)
        presented = held_out.table.taken(held_out.table.type_keys == key)
        retested[key] = _retested(bundle, presented, policy)
        misdeclared[key] = misdeclared_figures(plan, bundle, presented)
    readings = {
        reading.value: MisdeclaredFigures.together([each[reading] for each in misdeclared.values()])
        for reading in Reading
    }
    per_type = {key: {reading.value: figures for reading, figures in each.items()} for key, each in misdeclared.items()}
    return _LeftOut(retested, {**per_type, ALL_TYPES: readings})


def _retested(bundle: Bundle, presented: FeatureTable, policy: Policy) -> Share:
    """Tests sent to retest when declared honestly."""
    terms = policy.terms(certified(bundle.calibration, policy.cuts, policy.risk))
    decisions = [policy.decide(case, assess(case, bundle, terms), "") for case in cases(presented)]
    return Share.of(np.array([decision.outcome is Outcome.RETEST for decision in decisions], dtype=np.bool_))


def _reliability(estimates: pd.DataFrame, policy: Policy) -> dict[str, list[list[float]]]:
    measured = estimates["measured"].to_numpy()
    return {
        cut_key(cut): reliability(measured < cut, estimates[f"p_below_{cut_key(cut)}"].to_numpy()).tolist()
        for cut in policy.cuts
    }


def _cases(estimates: pd.DataFrame, policy: Policy) -> Iterator[tuple[GradingCase, Assessment, str]]:
    for identity, row in zip(identities(estimates), estimates.to_dict("records"), strict=True):
        vector = FeatureVector(identity.battery_id, _MOMENT, Method(row["method"]), "", {})
        yield GradingCase(identity, _SOUND, vector), _assessment(identity, row, policy), ""


def _assessment(identity: BatteryIdentity, row: Mapping[Hashable, Any], policy: Policy) -> Assessment:
    rated = identity.rated_capacity_ah
    estimate = CapacityEstimate(
        method=Method(row["method"]),
        remaining_capacity_ah=row["estimated"] * rated,
        lower_ah=row["lower"] * rated,
        upper_ah=row["upper"] * rated,
        coverage_fraction=row["coverage_fraction"],
        rated_capacity_ah=rated,
        capacity_definition="",
        probability_below_cut={cut_key(cut): row[f"p_below_{cut_key(cut)}"] for cut in policy.cuts},
        provenance=_provenance(Method(row["method"])),
    )
    outside = row["distance"] > 1.0
    reasons = (outside_known_range(row["type_key"], row["distance"], 1.0),) if outside else ()
    return Assessment(estimate, reasons, known_type=True, thresholds=row["thresholds"])


def _provenance(method: Method) -> Provenance:
    """Who measured: a vehicle's record is graded no better than the policy's ceiling for it."""
    return Provenance.BMS_REPORTED if method is Method.FIELD_TELEMETRY else Provenance.BENCH_MEASURED


def _figures(estimates: pd.DataFrame, decisions: np.ndarray[Any, Any], policy: Policy) -> TypeFigures:
    measured, lower, upper = (estimates[name].to_numpy() for name in ("measured", "lower", "upper"))
    outcomes = np.array([decision.outcome for decision in decisions])
    return TypeFigures(
        errors=point_errors(measured, estimates["estimated"].to_numpy()),
        covered=Share.of((lower <= measured) & (measured <= upper)),
        mean_width=float(np.mean(upper - lower)),
        outcomes={outcome: Share.of(outcomes == outcome) for outcome in Outcome},
        cuts={cut_key(cut): _at_cut(estimates, decisions, policy, cut) for cut in policy.cuts},
    )


def _at_cut(estimates: pd.DataFrame, decisions: np.ndarray[Any, Any], policy: Policy, cut: float) -> CutFigures:
    below = estimates["measured"].to_numpy() < cut
    accepted = np.array([_graded_at_least(decision, policy, cut) for decision in decisions])
    rejected = ~accepted & np.array([_rejected(row, cut) for row in estimates.to_dict("records")])
    return CutFigures(
        accepted=Share.of(accepted),
        rejected=Share.of(rejected),
        undecided=Share.of(~accepted & ~rejected),
        false_accepts=Share.of(below[accepted]),
        false_rejects=Share.of(~below[rejected]),
        suitability=suitability_scores(below, estimates[f"p_below_{cut_key(cut)}"].to_numpy()),
        predictive_alone=suitability_scores(below, estimates[f"p_predictive_below_{cut_key(cut)}"].to_numpy()),
    )


def _rejected(row: Mapping[Hashable, Any], cut: float) -> bool:
    """Whether the battery lies certainly below a cut, whatever else is decided about it."""
    thresholds: Thresholds | None = row["thresholds"]
    if thresholds is None or row["distance"] > 1.0:
        return False
    return certified_score(row["estimated"]) < thresholds.at(cut).reject_below


def _graded_at_least(decision: GradingDecision, policy: Policy, cut: float) -> bool:
    minimum = {band.name: band.minimum_fraction for band in policy.bands}
    return decision.grade is not None and minimum[decision.grade] >= cut
