import numpy as np
import pytest

from models.capacity import Ensemble
from models.kernel import KernelForm, KernelGroup, KernelMember, Standardisation

NAMES = tuple("abcdefgh")
MATERN = KernelForm("matern32", 1.5, 0.08, 0.3, 3.0, 3.0)
RBF = KernelForm("rbf", 1.2, 0.5, 0.1, 0.0, 2.0)


def a_member(names: str, form: KernelForm = MATERN, required: str = "", seed: int = 0) -> KernelMember:
    chance = np.random.default_rng(seed)
    count = len(names)
    scaling = Standardisation(np.zeros(count, dtype=bool), chance.normal(size=count), np.ones(count))
    centres, weights = chance.normal(size=(37, count)), chance.normal(size=37)
    return KernelMember(tuple(names), tuple(required), form, scaling, centres, weights, -0.2)


def rows_of(count: int) -> np.ndarray:
    return np.random.default_rng(9).normal(size=(count, len(NAMES)))


def kernel_as_written_down(form: KernelForm, z: np.ndarray, c: np.ndarray) -> float:
    weight = np.ones(len(z))
    weight[0] = form.first_feature_weight
    distance = np.sqrt(np.mean((weight * (z - c)) ** 2))
    scaled = np.sqrt(3.0) * distance / form.length_scale
    decay = (
        np.exp(-(distance**2) / (2.0 * form.length_scale**2)) if form.shape == "rbf" else (1 + scaled) * np.exp(-scaled)
    )
    inner = z @ c / len(z)
    varying = form.varying_share * (1.0 + inner) * np.exp(-((z[0] - c[0]) ** 2) / 2.0)
    return form.amplitude**2 * (decay + form.linear_share * inner + varying)


@pytest.mark.parametrize("form", [MATERN, RBF])
def test_the_kernel_is_its_formula(form: KernelForm) -> None:
    rows, centres = rows_of(5), np.random.default_rng(3).normal(size=(4, len(NAMES)))
    expected = [[kernel_as_written_down(form, z, c) for c in centres] for z in rows]
    assert form.between(rows, centres) == pytest.approx(np.array(expected), rel=1e-9)


def test_members_evaluated_together_say_what_each_says_alone() -> None:
    members = (a_member("abcd", seed=1), a_member("hg", seed=2), a_member("adgh", required="g", seed=3))
    rows = rows_of(21)
    rows[4, NAMES.index("g")] = np.nan
    together = KernelGroup(members).predict(rows, NAMES)
    alone = np.array([member.predict(rows, NAMES) for member in members])
    np.testing.assert_array_equal(together, alone)
    assert np.isnan(together).sum(axis=1).tolist() == [0, 0, 1]


def test_a_member_predicts_from_the_kernel_of_its_form() -> None:
    member = a_member("abcdefgh", RBF)
    z = member.standardisation.standardised(rows_of(6))
    expected = member.form.between(z, member.centres) @ member.weights + member.offset
    assert member.predict(rows_of(6), NAMES) == pytest.approx(expected, rel=1e-10)


def test_members_of_several_forms_keep_their_places_in_an_ensemble() -> None:
    members = (a_member("abcd", seed=1), a_member("abc", RBF, seed=2), a_member("efgh", seed=3))
    said = Ensemble(members, (1.0, 2.0, 3.0)).said(rows_of(9), NAMES).log_state_of_health
    np.testing.assert_array_equal(said, [member.predict(rows_of(9), NAMES) for member in members])


@pytest.mark.parametrize("count", [2, 7, 64])
def test_a_row_is_predicted_alike_alone_and_among_others(count: int) -> None:
    group = KernelGroup((a_member("abcdefgh", seed=1), a_member("cab", seed=2)))
    together = group.predict(rows_of(count), NAMES)
    for row in range(count):
        assert group.predict(rows_of(count)[row : row + 1], NAMES)[:, 0].tolist() == together[:, row].tolist()


def test_members_of_different_forms_are_not_evaluated_together() -> None:
    with pytest.raises(ValueError, match="got 2 forms"):
        KernelGroup((a_member("abcd"), a_member("abcd", RBF)))
    with pytest.raises(ValueError, match="got 0 forms"):
        KernelGroup(())
