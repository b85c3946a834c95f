import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from features.errors import PackGradeError
from models.bundle import load_bundle
from training.cli import main
from training.export import export_bundle
from training.promote import PromotionRefused, compare, promote
from training.run import JudgedBundle, register, track
from training.tracking import TrackingStore

NAME = "packgrade-pulse"


@pytest.fixture
def store(empty_store):
    return TrackingStore(f"sqlite:///{empty_store}")


def _registered(store, judged, folder):
    bundle = JudgedBundle.of(judged)
    return register(store, bundle.plan, track(store, bundle, folder), load_bundle(folder).manifest)


def _with_a_false_accept(judged):
    visits = dict(judged.evaluation.visits)
    at_cut = visits["LFP20"].cuts["0.80"]
    more = replace(at_cut.false_accepts, count=at_cut.false_accepts.count + 3, total=at_cut.false_accepts.total + 3)
    wrong = replace(at_cut, false_accepts=more)
    visits["LFP20"] = replace(visits["LFP20"], cuts={**visits["LFP20"].cuts, "0.80": wrong})
    return replace(judged, evaluation=replace(judged.evaluation, visits=visits))


def test_a_run_keeps_figures_data_and_bundle_and_a_run_below_it_the_method(store, tiny_judged, tiny_bundle_folder):
    run_id = track(store, JudgedBundle.of(tiny_judged), tiny_bundle_folder)
    client = MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)
    run = client.get_run(run_id)
    assert run.data.metrics["pulse_test.visits.all.covered.total"] == 48
    source = tiny_judged.table.sources[0]
    assert run.data.tags["data.pulse_retired.sha256"] == source.sha256
    assert run.inputs.dataset_inputs[0].dataset.name == "pulse_retired"
    kept = _kept(client, run_id, "", "bundle")
    assert {"evaluation.json", "bundle/manifest.json", "bundle/model_card.md"} <= kept
    assert not any(path.endswith((".pkl", "MLmodel")) for path in kept)
    below = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert [each.info.run_name for each in below] == ["pulse_test"]
    assert below[0].data.params["interval.scale_level"] == "0.8"
    assert below[0].data.metrics["visits.all.covered.total"] == 48
    of_method = _kept(client, below[0].info.run_id, "", "pictures", "tables")
    assert {"evaluation.json", "pictures/reliability.png", "tables/split_manifest.csv"} <= of_method


def _kept(client, run_id, *folders):
    return {file.path for folder in folders for file in client.list_artifacts(run_id, folder)}


def test_a_new_bundle_is_the_challenger_and_the_first_one_becomes_champion(
    store, tiny_judged, tiny_bundle_folder, tmp_path
):
    registered = _registered(store, tiny_judged, tiny_bundle_folder)
    assert store.resolve(NAME, "challenger") == registered
    assert store.champion(NAME) is None
    promote(store, compare(store, NAME, tmp_path))
    assert store.champion(NAME) == registered


def test_a_worse_challenger_is_refused_with_the_figure_and_the_champion_stays(
    store, tiny_judged, tiny_bundle_folder, tmp_path
):
    champion = _registered(store, tiny_judged, tiny_bundle_folder)
    promote(store, compare(store, NAME, tmp_path / "first"))
    _registered(store, _with_a_false_accept(tiny_judged), tiny_bundle_folder)
    with pytest.raises(PromotionRefused, match=r"CHALLENGER_IS_WORSE.*LFP20 pulse_test: false accepts at 0.80"):
        promote(store, compare(store, NAME, tmp_path / "second"))
    assert store.champion(NAME) == champion


def test_rollback_brings_the_champion_before_back_once(store, tiny_judged, tiny_bundle_folder, tmp_path):
    first = _registered(store, tiny_judged, tiny_bundle_folder)
    promote(store, compare(store, NAME, tmp_path / "first"))
    second = _registered(store, tiny_judged, tiny_bundle_folder)
    promote(store, compare(store, NAME, tmp_path / "second"))
    assert store.champion(NAME) == second
    assert store.dethrone(NAME) == first
    with pytest.raises(PackGradeError, match=r"NO_EARLIER_CHAMPION"):
        store.dethrone(NAME)


def test_an_export_names_the_resolved_version_and_loads(store, tiny_judged, tiny_bundle_folder, tmp_path):
    _registered(store, tiny_judged, tiny_bundle_folder)
    exported = export_bundle(store, NAME, "challenger", tmp_path / "out")
    assert exported.version == "1"
    assert load_bundle(tmp_path / "out").sha256 == exported.sha256
    with pytest.raises(FileExistsError):
        export_bundle(store, NAME, "1", tmp_path / "out")


def test_a_bundle_exchanged_in_the_store_is_not_exported(store, empty_store, tiny_judged, tiny_bundle_folder, tmp_path):
    _registered(store, tiny_judged, tiny_bundle_folder)
    kept = next(empty_store.parent.rglob("manifest.json"))
    manifest = json.loads(kept.read_text())
    kept.write_text(json.dumps({**manifest, "version": "9999"}))
    with pytest.raises(PackGradeError, match=r"ARTIFACT_HASH_MISMATCH"):
        export_bundle(store, NAME, "1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_version_names_what_there_is(store, tiny_judged, tiny_bundle_folder):
    _registered(store, tiny_judged, tiny_bundle_folder)
    with pytest.raises(PackGradeError, match=r"BUNDLE_NOT_REGISTERED.*'7'.*version 1"):
        store.resolve(NAME, "7")


def test_the_commands_promote_export_and_refuse_with_exit_codes(
    store, tiny_judged, tiny_bundle_folder, tmp_path, capsys
):
    where = ["--tracking-uri", store.uri, "--name", NAME]
    assert main(["promote", *where]) == 1
    assert "BUNDLE_NOT_REGISTERED" in capsys.readouterr().err
    _registered(store, tiny_judged, tiny_bundle_folder)
    assert main(["promote", *where]) == 0
    assert main(["export", "--out", str(tmp_path / "out"), *where]) == 0
    assert Path(tmp_path / "out" / "manifest.json").is_file()
    assert main(["rollback", *where]) == 1
    assert "NO_EARLIER_CHAMPION" in capsys.readouterr().err
