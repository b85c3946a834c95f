from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.kernel import KernelForm, Standardisation
from models.window_kernel import WindowKernelMember, window_kernel_member

NAMES = ("a", "b", "c", "d")
HEALTH = np.linspace(0.6, 1.0, 21)


def curves(health: np.ndarray) -> np.ndarray:
    """Four slices that fall with health, each with its own slope."""
    return np.outer(health - 0.8, (1.0, 1.5, 0.75, 2.0)) / 0.12


def a_member(**changes: Any) -> WindowKernelMember:
    member = WindowKernelMember(
        names=NAMES,
        least_feature_count=2,
        form=KernelForm("matern32", 1.0, 0.15, 1.0, 0.0, 1.0),
        noise=0.005,
        standardisation=Standardisation(np.zeros(4, dtype=np.bool_), np.zeros(4), np.ones(4)),
        prototypes=curves(HEALTH),
        targets=np.log(HEALTH) - np.log(0.8),
        offset=float(np.log(0.8)),
    )
    return replace(member, **changes)


def with_gaps(rows: np.ndarray, *missing: int) -> np.ndarray:
    gapped = rows.copy()
    gapped[:, list(missing)] = np.nan
    return gapped


@pytest.mark.parametrize("missing", [(), (0,), (3,), (0, 2), (1, 3)])
def test_health_is_told_from_whichever_features_were_measured(missing: tuple[int, ...]) -> None:
    rows = with_gaps(curves(np.array([0.65, 0.83])), *missing)
    assert np.exp(a_member().predict(rows, NAMES)) == pytest.approx([0.65, 0.83], abs=0.01)


def test_with_too_few_features_nothing_is_said() -> None:
    said = a_member().predict(with_gaps(curves(np.array([0.7])), 0, 1, 2), NAMES)
    assert np.isnan(said).all()


def test_a_row_gets_the_same_number_alone_and_among_others() -> None:
    rows = with_gaps(curves(np.linspace(0.62, 0.97, 9)), 1)
    rows[4:, 2] = np.nan
    together = a_member().predict(rows, NAMES)
    alone = [float(a_member().predict(row[np.newaxis], NAMES)[0]) for row in rows]
    assert together.tolist() == alone


def test_a_feature_most_prototypes_lack_changes_nothing() -> None:
    prototypes = curves(HEALTH)
    prototypes[::2, 3] = np.nan
    member = a_member(prototypes=prototypes)
    rows = curves(np.array([0.7]))
    assert member.predict(rows, NAMES) == pytest.approx(member.predict(with_gaps(rows, 3), NAMES), abs=0.0)


def test_prototypes_that_lack_a_measured_feature_do_not_answer() -> None:
    prototypes, targets = curves(HEALTH), np.log(HEALTH) - np.log(0.8)
    prototypes[3, 3], targets[3] = np.nan, 5.0
    said = a_member(prototypes=prototypes, targets=targets).predict(curves(np.array([HEALTH[3]])), NAMES)
    assert np.exp(said) == pytest.approx([HEALTH[3]], abs=0.01)


def test_the_order_of_the_columns_is_read_from_their_names() -> None:
    rows = curves(np.array([0.7]))
    turned = a_member().predict(rows[:, ::-1].copy(), NAMES[::-1])
    assert turned.tolist() == a_member().predict(rows, NAMES).tolist()


def test_a_member_comes_back_from_its_bytes() -> None:
    prototypes = curves(HEALTH).astype(np.float32).astype(np.float64)
    member = a_member(prototypes=prototypes)
    again = window_kernel_member(NAMES, 2, member.form, member.array_bytes())
    rows = with_gaps(curves(np.array([0.7, 0.9])), 1)
    assert again.predict(rows, NAMES).tolist() == member.predict(rows, NAMES).tolist()


def test_bytes_that_do_not_fit_are_refused() -> None:
    member = a_member()
    with pytest.raises(ValueError, match=r"do not fit 21 targets, 3 features"):
        window_kernel_member(NAMES[:3], 2, member.form, member.array_bytes())
