import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from features.vocabulary import Chemistry, Level
from models.bundle import REFERENCE_BUNDLE, BundleRefused, load_bundle, save_bundle
from tests.support.cases import CUTS, a_cell
from tests.support.untrained_bundle import untrained_bundle


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the shipped bundle that may be damaged."""
    return Path(shutil.copytree(REFERENCE_BUNDLE, tmp_path / "bundle"))


def first_model(folder: Path) -> Path:
    return min(folder.rglob("trees.txt"))


def test_the_shipped_bundle_loads_and_names_itself() -> None:
    bundle = load_bundle(REFERENCE_BUNDLE)
    assert bundle.stamp == {"name": bundle.manifest.name, "version": bundle.manifest.version, "sha256": bundle.sha256}
    assert all(each.licence for each in bundle.manifest.training_data)


def test_the_shipped_bundle_holds_no_pickle() -> None:
    assert {path.suffix for path in REFERENCE_BUNDLE.rglob("*") if path.is_file()} <= {".json", ".txt", ".npz", ".md"}


def flip_one_byte(folder: Path) -> None:
    path = first_model(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def add_a_file(folder: Path) -> None:
    (folder / "extra.txt").write_text("surprise")


def drop_a_file(folder: Path) -> None:
    first_model(folder).unlink()


def swap_two_types(folder: Path) -> None:
    models = sorted(folder.rglob("trees.txt"))
    one, other = models[0].read_bytes(), models[1].read_bytes()
    models[0].write_bytes(other)
    models[1].write_bytes(one)


@pytest.mark.parametrize("damage", [flip_one_byte, add_a_file, drop_a_file, swap_two_types])
def test_a_damaged_bundle_is_refused_before_anything_is_parsed(copy: Path, damage: Callable[[Path], None]) -> None:
    damage(copy)
    with pytest.raises(BundleRefused, match="BUNDLE_DAMAGED"):
        load_bundle(copy)


def test_a_changed_manifest_changes_the_digest(copy: Path) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["known_types"][0]["rated_capacity_ah"] += 1.0
    path.write_text(json.dumps(manifest))
    assert load_bundle(copy).sha256 != load_bundle(REFERENCE_BUNDLE).sha256


def test_a_bundle_of_other_features_is_refused(copy: Path) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["methods"][0]["feature_set_digest"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleRefused, match=r"FEATURE_SET_MISMATCH .*000000000000… of pulse_test"):
        load_bundle(copy)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format_version": 2}', "not json"])
def test_a_folder_without_a_manifest_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleRefused, match="BUNDLE_UNREADABLE"):
        load_bundle(tmp_path)
    with pytest.raises(BundleRefused, match="BUNDLE_UNREADABLE"):
        load_bundle(tmp_path / "nowhere")


def test_a_bundle_is_never_overwritten(tmp_path: Path) -> None:
    folder = untrained_bundle(tmp_path / "bundle")
    with pytest.raises(FileExistsError, match="never overwritten"):
        save_bundle(folder, load_bundle(folder).manifest, {})


def test_cuts_outside_the_calibrated_range_are_refused_naming_the_cut() -> None:
    bundle = load_bundle(REFERENCE_BUNDLE)
    bundle.require_cuts(CUTS)
    for cut in (0.40, 0.99):
        with pytest.raises(BundleRefused, match=f"CUT_NOT_SUPPORTED .*{cut:.2f}"):
            bundle.require_cuts((0.70, cut))


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, True),
        ({"rated_capacity_ah": 35.3}, True),
        ({"rated_capacity_ah": 35.4}, False),
        ({"rated_capacity_ah": 34.6}, False),
        ({"chemistry": Chemistry.NMC}, False),
        ({"chemistry": Chemistry.UNKNOWN}, False),
        ({"level": Level.MODULE}, False),
        ({"type_designation": "X-35"}, True),
    ],
)
def test_a_known_type_has_the_same_level_chemistry_and_rated_capacity_within_1_percent(changes, known: bool) -> None:
    assert (load_bundle(REFERENCE_BUNDLE).known_type(a_cell(**changes)) is not None) is known


def test_a_type_with_a_designation_is_not_known_under_another_one() -> None:
    known = load_bundle(REFERENCE_BUNDLE).known_type(a_cell())
    named = known.model_copy(update={"type_designation": "X-35"})
    assert named.is_type_of(replace(a_cell(), type_designation="X-35"))
    assert named.is_type_of(a_cell())
    assert not named.is_type_of(replace(a_cell(), type_designation="Y-35"))
