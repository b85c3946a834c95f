import numpy as np
from lightgbm import Booster

from models.capacity import load_estimator
from training.assemble import TrainedMethod, calibrated_estimator, method_files
from training.calibrate import calibrate
from training.fit import FittedModels, fit_models, supported_classifier_cuts
from training.fit_members import TreeText, fit_kernel, fit_trees
from training.plan import Plan
from training.recipes.by_method import recipe_of
from training.run import Judged


def _fitted(judged: Judged, plan: Plan | None = None) -> FittedModels:
    recipe = plan or judged.plan
    return fit_models(recipe, judged.table, supported_classifier_cuts(recipe, judged.table))


def _files(judged: Judged, plan: Plan | None = None) -> dict[str, bytes]:
    calibration = calibrate(judged.plan, judged.held_out.facts)
    return method_files(TrainedMethod(judged.plan, judged.table, _fitted(judged, plan), calibration))


def test_members_of_a_short_train_use_no_feature_of_larger_pulses(tiny_plan):
    recipe, members = recipe_of(tiny_plan), {member.name: member for member in tiny_plan.members}
    short = recipe.member_features(members["trees"])
    assert not [name for name in short if "2.0c" in name or "2.5c" in name]
    assert [name for name in recipe.member_features(members["all_features_2.5c"]) if "2.5c" in name]


def test_no_centre_of_a_bundle_is_a_training_row(tiny_judged):
    models = _fitted(tiny_judged)
    for fitted in models.types.values():
        for _, member in fitted.members:
            if isinstance(member, TreeText):
                continue
            rows = member.standardisation.standardised(tiny_judged.table.columns(member.names))
            nearest = np.abs(rows[:, None, :] - member.centres[None, :, :]).max(axis=2).min()
            assert nearest > 1e-3


def test_centres_of_several_runs_are_pooled_up_to_their_count(tiny_judged):
    table = tiny_judged.table.taken(tiny_judged.table.type_keys == "LFP20")
    plan = next(member for member in tiny_judged.plan.members if member.name == "ratios")
    for runs, most, kept in ((1, 900, 38), (2, 900, 76), (4, 900, 152), (4, 100, 100), (4, 12, 12)):
        asked = plan.model_copy(update={"centre_run_count": runs, "centre_count": most})
        assert len(fit_kernel(asked, recipe_of(tiny_judged.plan), table, seed=0).centres) == kept


def test_a_cut_gets_a_classifier_only_with_enough_cells_on_both_sides(tiny_judged):
    plan, table = tiny_judged.plan, tiny_judged.table
    below = int((table.taken(table.visits).state_of_health_fraction < 0.8).sum())
    fewer = min(below, 48 - below)
    for least, cuts in ((fewer, (0.8,)), (fewer + 1, ())):
        asked = plan.suitability.model_copy(update={"least_batteries_per_side": least})
        assert supported_classifier_cuts(plan.model_copy(update={"suitability": asked}), table) == cuts


def test_two_fits_of_one_plan_give_the_same_bytes(tiny_judged):
    first, second = (_files(tiny_judged) for _ in range(2))
    assert first == second


def test_another_seed_gives_another_bundle(tiny_judged):
    other = tiny_judged.plan.model_copy(update={"seed": 7})
    first, second = (_files(tiny_judged, plan) for plan in (tiny_judged.plan, other))
    assert first != second


def test_the_files_of_a_bundle_predict_what_training_judged(tiny_judged, tiny_bundle):
    plan, table = tiny_judged.plan, tiny_judged.table
    models, calibration = _fitted(tiny_judged), calibrate(plan, tiny_judged.held_out.facts)
    rows, names = table.values[table.type_keys == "LFP20"], table.feature_set.names
    judged = calibrated_estimator(models, calibration).predict(rows, names, "LFP20", (0.7, 0.8))
    method = tiny_bundle.manifest.methods[0]
    loaded = load_estimator(method, _files(tiny_judged))
    served = loaded.predict(rows, names, "LFP20", (0.7, 0.8))
    for name in ("point", "lower", "upper", "probability_below", "distance"):
        assert np.array_equal(getattr(served, name), getattr(judged, name)), name


def test_a_type_without_enough_long_trains_goes_without_that_member(tiny_judged):
    plan = tiny_judged.plan
    members = tuple(
        member.model_copy(update={"least_rows": 10_000}) if member.amplitudes == "all" else member
        for member in plan.members
    )
    models = _fitted(tiny_judged, plan.model_copy(update={"members": members}))
    assert {member.name for member, _ in models.types["LFP20"].members} == {
        "ratios",
        "break_and_asymmetry",
        "decay",
        "nonlinearity",
        "trees",
    }


def test_a_constrained_tree_never_rises_with_a_resistance(tiny_judged):
    recipe, table = recipe_of(tiny_judged.plan), tiny_judged.table
    plan = next(member for member in tiny_judged.plan.members if member.kind == "trees")
    for falls in (True, False):
        asked = plan.model_copy(update={"falls_with_resistance": falls, "round_count": 60})
        fitted = fit_trees(asked, recipe, table.taken(table.type_keys == "LFP20"), 0)
        said = _along_resistances(fitted, recipe, table)
        assert bool((np.diff(said, axis=1) <= 1e-12).all()) is falls


def _along_resistances(fitted, recipe, table):
    """Predictions while every resistance grows from its lowest to its highest value, other features as measured."""
    rows = table.columns(fitted.names)[:40]
    growing = [name.startswith(recipe.resistances) for name in fitted.names]
    low, high = np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
    booster = Booster(model_str=fitted.text)
    steps = [np.where(growing, low + share * (high - low), rows) for share in np.linspace(0.0, 1.0, 15)]
    return np.column_stack([booster.predict(step, num_threads=1) for step in steps])
