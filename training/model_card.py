"""The card of a bundle, in Markdown: what it is, what made it, how good it is, what it is not for.

Every number on it comes from the plan, the data or the evaluation on held-out cells. What holds for
one data set only is found in the figures, not written here.
"""

from collections.abc import Iterator, Mapping, Sequence

from features.feature_set import Method
from models.decision import Outcome
from models.manifest import KnownType
from training.assemble import TrainedMethod, known_types, training_data
from training.evaluation import ALL_TYPES, Evaluation
from training.metrics import Share
from training.plan import JointPlan
from training.plan_tables import KernelMemberPlan
from training.recipes.by_method import recipe_of

LITTLE_EXPLAINED = 0.5
"""Below this share of explained variance a type counts as barely predictable."""

Section = tuple[str, Iterator[str]]


def model_card(plan: JointPlan, methods: Sequence[TrainedMethod], evaluations: Mapping[Method, Evaluation]) -> str:
    """Card of the bundle of a plan.

    Parameters
    ----------
    plan : JointPlan
        What it is called.
    methods : sequence of TrainedMethod
        What trained each method, and what came out.
    evaluations : mapping of Method to Evaluation
        What each was judged by.
    """
    sections: list[Section] = [
        (f"# {plan.bundle.name} {plan.bundle.version}", _purpose(methods)),
        ("## Trained on", _data(methods)),
    ]
    for each in methods:
        sections += _method_sections(each, evaluations[each.plan.method], known_types(methods))
    sections += [("## Not to be used for", _not_for()), ("## Made again by", _again(plan))]
    return "\n\n".join(f"{heading}\n\n" + "\n".join(lines) for heading, lines in sections) + "\n"


def _method_sections(trained: TrainedMethod, evaluation: Evaluation, types: Sequence[KnownType]) -> Iterator[Section]:
    yield f"## Method `{trained.plan.method.value}`", _promise(trained)
    yield "### Recipe", _recipe(trained)
    yield "### How good it is", _accuracy(evaluation)
    yield "### Suitability at the cuts", _suitability(evaluation)
    yield "### Limits", _limits(trained, evaluation, types)


def _purpose(methods: Sequence[TrainedMethod]) -> Iterator[str]:
    names = ", ".join(f"`{each.plan.method.value}`" for each in methods)
    yield (
        f"Estimates the remaining capacity of a retired battery at an unknown state of charge from {names}, with an "
        "interval, and the probability that its state of health lies below a cut. What is done with a battery is "
        "decided by a policy, not here."
    )


def _data(methods: Sequence[TrainedMethod]) -> Iterator[str]:
    yield from _table(
        ("data set", "licence", "tests", "physical cells", "SHA-256"),
        [
            (each.name, each.licence, str(each.row_count), str(each.cell_count), f"`{each.sha256[:16]}…`")
            for each in training_data(methods)
        ],
    )
    yield ""
    names = [each.plan.method for each in methods]
    yield from _table(
        ("type", "physical cells", *(f"calibrating {name.value}" for name in names)),
        [
            (each.key, str(each.cell_count), *(str(each.calibration_batteries.get(name, "-")) for name in names))
            for each in known_types(methods)
        ],
    )


def _promise(trained: TrainedMethod) -> Iterator[str]:
    promised = trained.plan.bundle
    yield (
        f"Capacity: {promised.capacity_definition}. The interval is meant to hold for "
        f"{_percent(promised.coverage_fraction)} of batteries; cuts from {promised.lowest_cut_fraction:.2f} to "
        f"{promised.highest_cut_fraction:.2f} have a probability."
    )


def _recipe(trained: TrainedMethod) -> Iterator[str]:
    recipe = recipe_of(trained.plan)
    yield recipe.features_in_words
    yield "Members, one set per type, predict the logarithm of state of health; the point is their weighted mean:"
    yield ""
    for member in trained.plan.members:
        kind = "kernel ridge on averaged centres" if isinstance(member, KernelMemberPlan) else "LightGBM"
        needed = f"needs {', '.join(member.needed)}" if member.needed else "whatever was measured"
        reach = _REACH[member.amplitudes] if member.amplitudes else needed
        yield f"- `{member.name}`, weight {member.weight:g}: {kind}, {reach}"
    yield ""
    yield (
        "Interval: normalised split conformal, one row per calibrating battery, each predicted by models without its "
        "cell and judged by a scale made by the other batteries of its type. Suitability: the conformal predictive "
        "distribution; a LightGBM classifier joins it in the log odds with the weight that lowers the log loss of "
        "the calibrating batteries, and is left out at weight 0. "
        f"`{trained.plan.method.value}/calibration.json` holds what calibrates."
    )


_REACH = {"all": "pulses up to 2.5 C, where measured", "up_to_1.5c_charge": "pulses up to 1.5 C charge"}


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
        yield "Grid: further tests of the batteries."
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


def _limits(trained: TrainedMethod, evaluation: Evaluation, types: Sequence[KnownType]) -> Iterator[str]:
    method = trained.plan.method
    of_method = [each for each in types if method in each.calibration_batteries]
    yield f"- Known types only ({', '.join(each.key for each in of_method)}); of any other nothing is said."
    yield f"- {recipe_of(trained.plan).limits_in_words}"
    yield "- Visits calibrate the interval: where batteries arrive otherwise (temperature, rest, tester) it is void."
    for each in of_method:
        if not each.calibration_batteries[method]:
            yield (
                f"- {each.key} was never visited ({each.cell_count} cells): its interval is an indication from grid "
                "tests and grades no battery."
            )
    for key, figures in evaluation.visits.items():
        if key != ALL_TYPES and figures.errors.explained_fraction < LITTLE_EXPLAINED:
            yield (
                f"- {key} is barely predictable: the estimate explains "
                f"{_percent(figures.errors.explained_fraction)} of the variance between batteries; expect wide "
                "intervals."
            )
    for key, share in evaluation.unseen_types_retested.items():
        yield f"- Without {key} in training, {share.count} of {share.total} of its tests were sent to retest."
    for reading, declared in evaluation.misdeclared.get(ALL_TYPES, {}).items():
        yield (
            f"- Left out and declared as a known type ({reading}), {_share(declared.visits_safe)} of visits and "
            f"{_share(declared.grid_safe)} of grid tests were withheld or had their capacity inside the interval."
        )


def _not_for() -> Iterator[str]:
    yield "- A legal or contractual statement of capacity: that takes a capacity test."
    yield "- A judgement of safety: leakage, swelling, insulation and alarms are gates of the policy."
    yield "- Modules and packs, unless such a level is among the types above."
    yield "- Remaining life: nothing here says how fast a battery will age on."


def _again(plan: JointPlan) -> Iterator[str]:
    yield f"`{plan.bundle.reproduced_by}`"
    yield ""
    yield "On the same data everything but `created_on` is the same, byte for byte, under the pinned versions."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _share(share: Share) -> str:
    return _percent(share.fraction, 1) if share.total else "none"


def _percent(fraction: float, digits: int = 0) -> str:
    return f"{100 * fraction:.{digits}f} %"
