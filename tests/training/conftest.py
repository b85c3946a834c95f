"""A tiny plan and what it gives, trained once for all tests of this folder."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from models.bundle import Bundle, load_bundle
from models.policy_file import SHIPPED_POLICY
from tests.training.synthetic_pulses import synthetic_rows, write_public_layout
from training.cli import REFERENCE_PLAN
from training.plan import Plan, load_plan
from training.run import Judged, judge, train_bundle
from training.tracking import TrackingStore


@pytest.fixture(scope="session")
def tiny_plan() -> Plan:
    plan = load_plan(REFERENCE_PLAN)
    smaller = {"centre_count": 12, "round_count": 20, "least_rows": 5, "least_rows_per_leaf": 5}
    members = tuple(
        member.model_copy(update={name: value for name, value in smaller.items() if hasattr(member, name)})
        for member in plan.members
    )
    splits = plan.splits.model_copy(update={"fold_count": 3, "calibration_split_count": 10})
    applicability = plan.applicability.model_copy(update={"component_count": {}})
    suitability = plan.suitability.model_copy(update={"cuts": (0.8,), "least_batteries_per_side": 10})
    changes = {"members": members, "splits": splits, "applicability": applicability, "suitability": suitability}
    return plan.model_copy(update=changes)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_public_layout(synthetic_rows(), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tiny_judged(tiny_plan: Plan, tiny_data: Path) -> Judged:
    return judge(tiny_plan, tiny_data, SHIPPED_POLICY, lambda _: None)


@pytest.fixture(scope="session")
def tiny_bundle_folder(tiny_judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    train_bundle(tiny_judged, folder, date(2026, 11, 1), lambda _: None)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundle_folder: Path) -> Bundle:
    return load_bundle(tiny_bundle_folder)


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose tables exist; making them takes MLflow seconds."""
    file = tmp_path_factory.mktemp("template") / "mlflow.db"
    TrackingStore(f"sqlite:///{file}").champion("none")
    return file


@pytest.fixture
def empty_store(store_template: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return Path(shutil.copy(store_template, folder))
