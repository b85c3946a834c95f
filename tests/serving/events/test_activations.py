"""The record tells which bundle and which policy came into force, once each, whoever starts first."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from models.bundle import REFERENCE_BUNDLE
from models.manifest import Manifest
from models.policy_file import SHIPPED_POLICY
from serving.events.activations import DEPLOYMENT, record_activations
from serving.grading import Grader
from serving.record.leaf import Leaf, LeafKind
from serving.record.ledger import Ledger
from serving.record.sqlite import SqliteStore
from serving.record.store import leaves
from serving.record.verify import verify_record
from tests.support.cases import MOMENT
from tests.support.graded import record_of

KINDS = [LeafKind.BUNDLE_ACTIVATED, LeafKind.POLICY_ACTIVATED]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(record_of(tmp_path), "test") as opened:
        yield opened


@pytest.fixture
def grader(ledger: Ledger) -> Grader:
    return Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger)


def with_bundle(grader: Grader, ledger: Ledger, version: str) -> Grader:
    """The same models under another version, so another digest."""
    manifest = Manifest.model_validate(grader.bundle.manifest.model_dump() | {"version": version})
    return Grader(replace(grader.bundle, manifest=manifest), grader.policy, ledger)


def recorded(folder: Path) -> list[Leaf]:
    return list(leaves(SqliteStore(record_of(folder))))


def test_the_first_to_open_a_grader_records_bundle_and_policy(ledger: Ledger, grader: Grader) -> None:
    bundle, policy = (each.leaf for each in record_activations(ledger, grader, MOMENT))
    assert [bundle.kind, policy.kind] == KINDS
    assert (bundle.station, bundle.battery_id) == (DEPLOYMENT, None)
    assert bundle.body == {
        **grader.bundle.stamp,
        "model_card_sha256": grader.bundle.manifest.files["model_card.md"],
        "replaces": None,
    }
    assert policy.body == {
        "policy_id": grader.policy.stamp.policy_id,
        "version": grader.policy.stamp.version,
        "effective_from": grader.policy.effective_from.isoformat(),
        "sha256": grader.policy.stamp.sha256,
        "replaces": None,
    }


def test_what_is_in_force_already_is_not_recorded_again(ledger: Ledger, grader: Grader) -> None:
    record_activations(ledger, grader, MOMENT)
    assert record_activations(ledger, grader, MOMENT) == []


def test_another_bundle_and_going_back_are_each_recorded(ledger: Ledger, grader: Grader, tmp_path: Path) -> None:
    newer = with_bundle(grader, ledger, "2027.01")
    for opened in (grader, newer, newer, grader, newer):
        record_activations(ledger, opened, MOMENT)
    told = [leaf for leaf in recorded(tmp_path) if leaf.kind is LeafKind.BUNDLE_ACTIVATED]
    assert [leaf.body["version"] for leaf in told] == ["2026.11", "2027.01", "2026.11", "2027.01"]
    assert [leaf.body["replaces"] for leaf in told] == [None, *(leaf.event_id for leaf in told[:-1])]
    assert verify_record(record_of(tmp_path)).is_intact


def test_threads_that_start_with_two_bundles_end_with_one_of_them_and_a_gapless_order(
    ledger: Ledger, grader: Grader, tmp_path: Path
) -> None:
    opened = [grader, with_bundle(grader, ledger, "2027.01")] * 8
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: record_activations(ledger, each, MOMENT), opened))
    told = [leaf for leaf in recorded(tmp_path) if leaf.kind is LeafKind.BUNDLE_ACTIVATED]
    versions = [leaf.body["version"] for leaf in told]
    assert all(one != following for one, following in pairwise(versions))
    assert [leaf.body["replaces"] for leaf in told] == [None, *(leaf.event_id for leaf in told[:-1])]


_WORKER = """
import sys
from pathlib import Path
from models.bundle import REFERENCE_BUNDLE
from models.policy_file import SHIPPED_POLICY
from serving.events.activations import record_activations
from serving.grading import Grader
from serving.record.ledger import Ledger
from tests.support.cases import MOMENT
with Ledger.open(Path(sys.argv[1]), "test") as ledger:
    record_activations(ledger, Grader.open(REFERENCE_BUNDLE, SHIPPED_POLICY, ledger), MOMENT)
"""


def test_processes_that_start_at_once_record_one_activation_of_each_kind(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    workers = [subprocess.Popen([sys.executable, "-c", _WORKER, record_of(tmp_path)], cwd=root) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert [leaf.kind for leaf in recorded(tmp_path)] == KINDS
