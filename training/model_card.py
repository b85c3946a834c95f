"""The card of a bundle, in Markdown: what it is, what made it, how good it is, what it is not for.

Every number on it comes from the plan, the data or the evaluation on held-out cells. What holds for
one data set only is found in the figures, not written here.
"""

from collections.abc import Iterator, Sequence

from models.decision import Outcome
from training.assemble import known_types
from training.evaluation import ALL_TYPES, Evaluation
from training.plan import KernelMemberPlan, Plan
from training.table import FeatureTable

LITTLE_EXPLAINED = 0.5
"""Below this share of explained variance a type counts as barely predictable."""


def model_card(plan: Plan, table: FeatureTable, evaluation: Evaluation) -> str:
    """Card of the bundle of a plan.

    Parameters
    ----------
    plan : Plan
        The recipe.
    table : FeatureTable
        What trained.
    evaluation : Evaluation
        What it was judged by.
    """
    sections = {
        f"# {plan.bundle.name} {plan.bundle.version}": _purpose(plan),
        "## Trained on": _data(table),
        "## Recipe": _recipe(plan),
        "## How good it is": _accuracy(evaluation),
        "## Suitability at the cuts": _suitability(evaluation),
        "## Limits": _limits(plan, table, evaluation),
        "## Not to be used for": _not_for(),
        "## Made again by": _again(plan),
    }
    return "\n\n".join(f"{heading}\n\n" + "\n".join(lines) for heading, lines in sections.items()) + "\n"


def _purpose(plan: Plan) -> Iterator[str]:
    yield (
        f"Estimates the remaining capacity ({plan.bundle.capacity_definition}) of a retired battery from a pulse test "
        f"at an unknown state of charge, with an interval meant to hold for {_percent(plan.bundle.coverage_fraction)} "
        "of batteries, and the probability that its state of health lies below a cut from "
        f"{plan.bundle.lowest_cut_fraction:.2f} to {plan.bundle.highest_cut_fraction:.2f}. What is done with a "
        "battery is decided by a policy, not here."
    )


def _data(table: FeatureTable) -> Iterator[str]:
    yield from _table(
        ("data set", "licence", "tests", "physical cells", "SHA-256"),
        [
            (each.name, each.licence, str(each.row_count), str(each.cell_count), f"`{each.sha256[:16]}…`")
            for each in table.sources
        ],
    )
    yield ""
    yield from _table(
        ("type", "physical cells", "visited batteries"),
        [(each.key, str(each.cell_count), str(each.visit_count)) for each in known_types(table)],
    )


def _recipe(plan: Plan) -> Iterator[str]:
    yield "Features: resistances, relaxation, ratios and non-linearity of the pulses; never a state of charge."
    yield "Members, one set per type, predict the logarithm of state of health; the point is their weighted mean:"
    yield ""
    for member in plan.members:
        kernel = isinstance(member, KernelMemberPlan)
        kind = "kernel ridge on averaged centres" if kernel else "LightGBM"
        reach = "pulses up to 2.5 C, where measured" if member.amplitudes == "all" else "pulses up to 1.5 C charge"
        yield f"- `{member.name}`, weight {member.weight:g}: {kind}, {reach}"
    yield ""
    yield (
        "Interval: normalised split conformal, one row per visited battery, each predicted by models without its "
        "cell and judged by a scale made by the other batteries of its type. Suitability: the conformal predictive "
        "distribution; a LightGBM classifier joins it in the log odds with the weight that lowers the log loss of "
        "the calibrating batteries, and is left out at weight 0. `pulse_test/calibration.json` holds what calibrates."
    )


def _accuracy(evaluation: Evaluation) -> Iterator[str]:
    yield "Physical cells held out of models and calibration alike. Visits: one test per battery, any charge."
    yield ""
    yield from _table(
        (
            "visits",
            "batteries",
            "MAPE",
            "MAE",
            "R²",
            "coverage over splits",
            "width",
            "graded",
            "recycled",
            "undecided",
        ),
        [_visit_row(evaluation, key) for key in evaluation.visits],
    )
    if evaluation.grid:
        yield ""
        yield "Grid: tests while a battery is filled from empty."
        yield ""
        yield from _table(
            ("grid", "rows", "MAPE over rows", "MAPE over batteries"),
            [
                (
                    key,
                    str(each.errors.row_count),
                    _percent(each.errors.mean_absolute_percentage_error, 2),
                    _percent(each.mean_absolute_percentage_error_per_battery, 2),
                )
                for key, each in evaluation.grid.items()
            ],
        )
    yield ""
    yield (
        f"Graded, recycled and undecided are decisions of policy {evaluation.policy['policy_id']} "
        f"{evaluation.policy['version']}. All figures with their bounds: `metrics.json`."
    )


def _visit_row(evaluation: Evaluation, key: str) -> Sequence[str]:
    figures, splits = evaluation.visits[key], evaluation.coverage_over_splits[key]
    outcomes = figures.outcomes
    return (
        key,
        str(figures.errors.row_count),
        _percent(figures.errors.mean_absolute_percentage_error, 2),
        _percent(figures.errors.mean_absolute_error, 2),
        f"{figures.errors.explained_fraction:.2f}",
        f"{_percent(splits.mean, 1)} (p {splits.p_value:.2f})",
        _percent(splits.mean_width, 1),
        _percent(outcomes[Outcome.CASCADE].fraction),
        _percent(outcomes[Outcome.RECYCLE].fraction),
        _percent(outcomes[Outcome.RETEST].fraction + outcomes[Outcome.HOLD].fraction),
    )


def _suitability(evaluation: Evaluation) -> Iterator[str]:
    rows = [
        (
            cut,
            f"{figures.suitability.brier:.4f}",
            f"{figures.predictive_alone.brier:.4f}",
            f"{figures.suitability.area_under_curve:.3f}",
            f"{figures.false_accepts.count} of {figures.false_accepts.total}",
            f"{figures.false_rejects.count} of {figures.false_rejects.total}",
            f"{evaluation.booster_weights[cut]:.2f}" if cut in evaluation.booster_weights else "none trained",
        )
        for cut, figures in evaluation.visits[ALL_TYPES].cuts.items()
    ]
    heads = ("cut", "Brier", "Brier without classifier", "AUC", "false accepts", "false rejects", "classifier's weight")
    yield from _table(heads, rows)
    yield ""
    yield "Both Brier scores are of held-out cells; differences of a few thousandths are within their noise."
    yield ""
    for cut, weight in evaluation.booster_weights.items():
        yield f"- {cut}: {_earned(evaluation, cut, weight)}"


def _earned(evaluation: Evaluation, cut: str, weight: float) -> str:
    at_cut = evaluation.visits[ALL_TYPES].cuts.get(cut)
    if weight == 0.0:
        return "the classifier that was trained adds nothing to the predictive distribution and is not shipped."
    if at_cut is None:
        return f"a classifier joins with weight {weight:.2f}; the policy has no such cut, so it was not judged."
    if at_cut.suitability.brier < at_cut.predictive_alone.brier:
        return f"the classifier joins with weight {weight:.2f} and lowers the Brier score of held-out cells."
    return (
        f"the classifier joins with weight {weight:.2f}, because the calibrating batteries are described better with "
        "it; on held-out cells it has not earned its place."
    )


def _limits(plan: Plan, table: FeatureTable, evaluation: Evaluation) -> Iterator[str]:
    types = known_types(table)
    widths = ", ".join(f"{width:g} s" for width in plan.rows.pulse_width_second)
    yield f"- Known types only ({', '.join(each.key for each in types)}); of any other nothing is said."
    yield f"- Trained on pulses of {widths} after a rest, at the temperature of the data; judged at no other width."
    yield "- Visits calibrate the interval: where batteries arrive otherwise (temperature, rest, tester) it is void."
    for each in types:
        if each.visit_count == 0:
            yield (
                f"- {each.key} was never visited ({each.cell_count} cells): its interval is an indication from grid "
                "tests and grades no battery."
            )
    for key, figures in evaluation.visits.items():
        if key != ALL_TYPES and figures.errors.explained_fraction < LITTLE_EXPLAINED:
            yield (
                f"- {key} is barely predictable from pulses: the estimate explains "
                f"{_percent(figures.errors.explained_fraction)} of the variance between batteries; expect wide "
                "intervals."
            )
    for key, share in evaluation.unseen_types_retested.items():
        yield f"- Without {key} in training, {share.count} of {share.total} of its tests were sent to retest."


def _not_for() -> Iterator[str]:
    yield "- A legal or contractual statement of capacity: that takes a capacity test."
    yield "- A judgement of safety: leakage, swelling, insulation and alarms are gates of the policy."
    yield "- Modules and packs, unless such a level is among the types above."
    yield "- Remaining life: nothing here says how fast a battery will age on."


def _again(plan: Plan) -> Iterator[str]:
    yield f"`{plan.bundle.reproduced_by}`"
    yield ""
    yield "On the same data everything but `created_on` is the same, byte for byte, under the pinned versions."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _percent(fraction: float, digits: int = 0) -> str:
    return f"{100 * fraction:.{digits}f} %"
