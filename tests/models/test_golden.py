from typing import Any

import pytest

from features.feature_set import FEATURE_SETS, Method
from models.bundle import load_bundle
from tests.golden.golden_cases import (
    BUNDLE_FOLDER,
    DECISIONS_FILE,
    FEATURES_FILE,
    frozen,
    golden_decisions,
    golden_features,
)

FEATURES, DECISIONS = frozen(FEATURES_FILE), frozen(DECISIONS_FILE)
MEANT = "If that is meant: python -m tests.golden.regenerate"


@pytest.fixture(scope="module")
def decided() -> dict[str, dict[str, Any]]:
    return golden_decisions(load_bundle(BUNDLE_FOLDER))


@pytest.fixture(scope="module")
def computed() -> dict[str, dict[str, Any]]:
    return golden_features()


@pytest.mark.parametrize("name", DECISIONS)
def test_the_frozen_bundle_still_decides_the_same(decided: dict[str, Any], name: str) -> None:
    now, before = dict(decided[name]), dict(DECISIONS[name])
    numbers, frozen_numbers = now.pop("estimate"), before.pop("estimate")
    assert now == before, f"{name} is decided otherwise. {MEANT}"
    assert _flat(numbers) == pytest.approx(_flat(frozen_numbers), rel=1e-9), f"The estimate of {name} moved. {MEANT}"


def test_the_frozen_decisions_show_every_outcome(decided: dict[str, Any]) -> None:
    assert {each["outcome"] for each in decided.values()} == {"cascade", "recycle", "retest", "hold"}
    assert set(decided) == set(DECISIONS)


@pytest.mark.parametrize("method", FEATURES)
def test_an_equation_does_not_change_under_the_same_version_of_its_feature_set(
    computed: dict[str, Any], method: str
) -> None:
    values, frozen_values = computed[method]["values"], FEATURES[method]["values"]
    assert list(values) == list(frozen_values)
    moved = [name for name, value in frozen_values.items() if not _same(values[name], value)]
    assert not moved, f"{', '.join(moved)}: raise the version of the {method} feature set. {MEANT}"


@pytest.mark.parametrize("method", FEATURES)
def test_the_features_were_frozen_under_the_version_that_computes_them(method: str) -> None:
    digest = FEATURE_SETS[Method(method)].digest
    assert FEATURES[method]["feature_set_digest"] == digest, f"The feature set of {method} was raised. {MEANT}"


def test_every_method_with_features_is_frozen() -> None:
    assert set(FEATURES) == {method.value for method in FEATURE_SETS}


def test_the_frozen_bundle_holds_a_kernel_a_booster_and_a_joined_classifier() -> None:
    estimator = load_bundle(BUNDLE_FOLDER).estimators[Method.PULSE_TEST]
    kinds = {type(member).__name__ for ensemble in estimator.ensembles.values() for member in ensemble.members}
    assert kinds == {"KernelMember", "TreesMember"}
    assert estimator.suitability.classifiers["0.80"].booster_weight > 0.0


def _same(value: float | None, expected: float | None) -> bool:
    if value is None or expected is None:
        return value is expected
    return value == pytest.approx(expected, rel=1e-9, abs=1e-12)


def _flat(estimate: dict[str, Any] | None) -> dict[str, float]:
    if estimate is None:
        return {}
    return {name: value for name, value in estimate.items() if isinstance(value, float)} | {
        f"below {cut}": probability for cut, probability in estimate["probability_below_cut"].items()
    }
