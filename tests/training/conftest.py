"""A tiny plan and what it gives, trained once for all tests of this folder."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from models.bundle import Bundle, load_bundle
from models.policy_file import SHIPPED_POLICY
from tests.training.synthetic_pulses import synthetic_rows, write_public_layout
from tests.training.tiny_plan import tiny_plan as make_tiny_plan
from training.plan import Plan
from training.run import Judged, JudgedBundle, judge, train_bundle
from training.tracking import TrackingStore


@pytest.fixture(scope="session")
def tiny_plan() -> Plan:
    return make_tiny_plan()


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_public_layout(synthetic_rows(), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tiny_judged(tiny_plan: Plan, tiny_data: Path) -> Judged:
    return judge(tiny_plan, tiny_data, SHIPPED_POLICY, lambda _: None)


@pytest.fixture(scope="session")
def tiny_bundle_folder(tiny_judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    train_bundle(JudgedBundle.of(tiny_judged), folder, date(2026, 11, 1), lambda _: None)
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
