"""Moving the challenger to champion, and back: only a bundle that is nowhere worse is promoted.

The comparison reads the figures both runs were logged with, all of them from physical cells held
out of training. A gate compares one figure of one battery type; a single worse gate refuses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import PackGradeError
from training.tracking import CHALLENGER, RegisteredBundle, TrackingStore

COVERAGE_SLACK = 0.005
"""Half a point of coverage is less than one battery of the smallest type."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One figure of one type, before and after.

    Attributes
    ----------
    type_key, figure : str
        What is compared.
    champion, challenger : float
        Values as fractions; NaN where there is none.
    worse : bool
        Whether the challenger is worse.
    """

    type_key: str
    figure: str
    champion: float
    challenger: float
    worse: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Challenger against champion, gate by gate; `champion` is None where nothing serves yet."""

    champion: RegisteredBundle | None
    challenger: RegisteredBundle
    gates: tuple[Gate, ...]

    @property
    def worse(self) -> tuple[Gate, ...]:
        """Gates that refuse."""
        return tuple(gate for gate in self.gates if gate.worse)


class PromotionRefused(PackGradeError):  # noqa: N818 - reads as what happened
    """The challenger is worse somewhere; the champion stays."""


def compare(store: TrackingStore, name: str, scratch_folder: Path) -> Comparison:
    """Compare the challenger with the champion.

    Parameters
    ----------
    store : TrackingStore
        Where both are registered.
    name : str
        Name in the registry.
    scratch_folder : Path
        Folder for the fetched figures.

    Raises
    ------
    PackGradeError
        ``BUNDLE_NOT_REGISTERED`` without a challenger.
    """
    challenger, champion = store.resolve(name, CHALLENGER), store.champion(name)
    if champion is None:
        return Comparison(None, challenger, ())
    before = store.evaluation(champion, scratch_folder / "champion")
    after = store.evaluation(challenger, scratch_folder / "challenger")
    return Comparison(champion, challenger, tuple(gates(before, after)))


def gates(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> Iterator[Gate]:
    """Gates between two evaluations; a type the champion knows and the challenger does not is worse."""
    nominal = challenger["coverage_fraction"]
    for type_key, before in champion["visits"].items():
        after = challenger["visits"].get(type_key)
        if after is None:
            yield Gate(type_key, "known type", 1.0, 0.0, worse=True)
            continue
        yield _coverage_gate(
            type_key,
            champion["coverage_over_splits"][type_key]["mean"],
            challenger["coverage_over_splits"][type_key]["mean"],
            nominal,
        )
        for cut in before["cuts"]:
            yield from _cut_gates(type_key, cut, before["cuts"][cut], after["cuts"].get(cut))


def promote(store: TrackingStore, comparison: Comparison) -> RegisteredBundle:
    """Make the challenger the champion.

    Raises
    ------
    PromotionRefused
        ``CHALLENGER_IS_WORSE``, naming every worse gate with both values.
    """
    if comparison.worse:
        shown = "; ".join(
            f"{gate.type_key} {gate.figure} {gate.champion:.3f} → {gate.challenger:.3f}" for gate in comparison.worse
        )
        raise PromotionRefused(
            "CHALLENGER_IS_WORSE",
            f"{comparison.challenger} is worse than {comparison.champion}: {shown}. "
            "The champion stays. Train again, or look at the runs before deciding otherwise.",
        )
    store.crown(comparison.challenger)
    return comparison.challenger


def _coverage_gate(type_key: str, before: float, after: float, nominal: float) -> Gate:
    worse = after < min(before, nominal) - COVERAGE_SLACK
    return Gate(type_key, "coverage", before, after, worse)


def _cut_gates(type_key: str, cut: str, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> Iterator[Gate]:
    if after is None:
        yield Gate(type_key, f"supported cut {cut}", 1.0, 0.0, worse=True)
        return
    for figure in ("false_accepts", "false_rejects"):
        was, is_now = _share_of_presented(before, figure), _share_of_presented(after, figure)
        yield Gate(type_key, f"{figure.replace('_', ' ')} at {cut}", was, is_now, worse=is_now > was)


def _share_of_presented(figures: Mapping[str, Any], figure: str) -> float:
    """Wrong decisions over all batteries presented: a recipe that decides less is not called better or worse."""
    return float(figures[figure]["count"]) / float(figures["accepted"]["total"])
