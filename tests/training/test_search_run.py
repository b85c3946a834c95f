import io
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from tests.training.synthetic_pulses import synthetic_rows, write_public_layout
from training.cli import REFERENCE_PLAN, main
from training.plan import load_plan
from training.plan_search import searched_numbers
from training.plan_writing import plan_text
from training.search import SearchOutcome, Trial
from training.search_report import trial_progress, verdict

LENGTH = "members.ratios.length_scale"
_SMALLER = {
    "centre_count = 900": "centre_count = 10",
    "round_count = 160": "round_count = 10",
    "fold_count = 5": "fold_count = 3",
    "inner_fold_count = 3": "inner_fold_count = 2",
}


def _small_plan(folder):
    """Write the shipped plan, small, with the members alone that it searches."""
    text = REFERENCE_PLAN.read_text(encoding="utf-8")
    for old, new in _SMALLER.items():
        text = text.replace(old, new)
    head, *members = text.split("[[members]]")
    kept = [each for each in members if any(f'name = "{name}"' in each for name in ("ratios", "decay", "trees"))]
    path = folder / "plan.toml"
    path.write_text("[[members]]".join([head, *kept]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def searched(store_template, tmp_path_factory):
    """Folder, store and exit code of one search of three trials."""
    folder = tmp_path_factory.mktemp("search")
    data = write_public_layout(synthetic_rows(10), folder / "data")
    store = folder / "mlflow.db"
    store.write_bytes(Path(store_template).read_bytes())
    uri = f"sqlite:///{store}"
    plan = _small_plan(folder)
    code = main(["search", str(plan), "--trials", "3", "--seed", "1", "--data-dir", str(data), "--tracking-uri", uri])
    return folder, MlflowClient(tracking_uri=uri), code


def _runs(client):
    experiment = client.get_experiment_by_name("pulse_test").experiment_id
    runs = client.search_runs([experiment])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return parent, sorted(children, key=lambda run: run.info.run_name)


def test_every_trial_is_a_run_below_the_run_of_the_search(searched):
    _, client, code = searched
    parent, trials = _runs(client)
    assert code == 0
    assert [run.info.run_name for run in trials] == ["trial-1", "trial-2", "trial-3"]
    assert trials[0].data.params[LENGTH] == "1.5"
    assert parent.info.run_name == "search-pulse-reference-2026.11"
    assert parent.data.params["search.members.ratios.length_scale"] == "0.5 to 5.0"
    assert parent.data.params["search.seed"] == "1"
    best = min(run.data.metrics["error_fraction"] for run in trials)
    assert parent.data.metrics["best.error_fraction"] == best
    assert {run.info.status for run in (parent, *trials)} == {"FINISHED"}


def test_the_plan_found_loads_and_differs_in_the_numbers_of_the_best_trial_alone(searched):
    folder, client, _ = searched
    found, written = load_plan(folder / "plan_searched.toml"), load_plan(folder / "plan.toml")
    parent, trials = _runs(client)
    best = trials[int(parent.data.metrics["best_trial"]) - 1].data.params
    numbers = {each.path: str(each.written) for each in searched_numbers(found.search, found.members)}
    assert numbers == best
    assert found.model_copy(update={"members": written.members}) == written
    text = (folder / "plan_searched.toml").read_text(encoding="utf-8")
    assert text.startswith("# Found by `packgrade-train search plan.toml --trials 3 --seed 1`.\n# ")


def test_a_plan_that_is_there_already_is_not_written_over(searched, capsys):
    folder, _, _ = searched
    assert main(["search", str(folder / "plan.toml"), "--trials", "1", "--data-dir", str(folder / "data")]) == 1
    assert "FILE_EXISTS" in capsys.readouterr().err


def test_a_search_of_no_trial_is_wrong_usage():
    with pytest.raises(SystemExit) as stopped:
        main(["search", "--trials", "0"])
    assert stopped.value.code == 2


def test_a_search_that_breaks_off_is_a_failed_run(tmp_path, empty_store):
    plan = _small_plan(tmp_path)
    plan.write_text(plan.read_text(encoding="utf-8").replace("inner_fold_count = 2", "inner_fold_count = 90"), "utf-8")
    data = write_public_layout(synthetic_rows(12), tmp_path / "data")
    uri = f"sqlite:///{empty_store}"
    assert main(["search", str(plan), "--trials", "1", "--data-dir", str(data), "--tracking-uri", uri]) == 1
    parent, trials = _runs(MlflowClient(tracking_uri=uri))
    assert (parent.info.status, trials) == ("FAILED", [])
    assert not (tmp_path / "plan_searched.toml").exists()


def test_own_tables_are_still_found_from_a_plan_written_elsewhere(tmp_path):
    plan = tmp_path / "plans" / "own.toml"
    own = (
        '[[datasets]]\nkind = "canonical_tables"\nname = "mine"\nlicence = "own"\n'
        'manifest = "manifest.csv"\nlabels = "../labels.csv"'
    )
    plan.parent.mkdir()
    text = REFERENCE_PLAN.read_text(encoding="utf-8").replace('[[datasets]]\nkind = "pulse_retired"', own)
    plan.write_text(text, encoding="utf-8")
    dataset = tomllib.loads(plan_text(plan, tmp_path / "out" / "found.toml", (), {}, ()))["datasets"][0]
    assert dataset["manifest"] == "../plans/manifest.csv"
    assert dataset["labels"] == "../labels.csv"


def _outcome(second, unseen_second):
    trials = (Trial(1, {LENGTH: 1.5}, 0.026), Trial(2, {LENGTH: 2.0}, second))
    return SearchOutcome(trials, {1: 0.027, 2: unseen_second})


def test_the_verdict_says_whether_the_gain_holds_on_cells_put_aside():
    assert verdict(_outcome(0.025, 0.026)).endswith("2.700 % as written, 2.600 % with the numbers found.")
    assert "did not carry over; keep the plan as written" in verdict(_outcome(0.025, 0.028))
    equal = _outcome(0.026, 0.027)
    assert verdict(equal) == "No trial was better than the plan as written."
    assert verdict(replace(equal, trials=equal.trials[:1])) == "No trial was better than the plan as written."


def test_progress_is_a_line_for_each_trial_in_a_file_and_a_bar_on_a_terminal():
    printed = {}
    for terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=110)
        with trial_progress(console, 2) as show:
            for trial in _outcome(0.025, 0.026).trials:
                show(trial)
        printed[terminal] = console.file.getvalue()
    assert printed[False].splitlines() == [
        "trial 1 of 2: error 2.600 %, best 2.600 %",
        "trial 2 of 2: error 2.500 %, best 2.500 %",
    ]
    assert "2/2" in printed[True]
    assert "trial 1" not in printed[True]
