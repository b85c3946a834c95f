"""Moving the challenger to champion, and back: only a bundle that is nowhere worse is promoted.

The comparison reads the figures both runs were logged with, all of them from physical cells held
out of training. A gate compares one figure of one battery type; a single worse gate refuses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from features.errors import PackGradeError
from training.evaluation import ALL_TYPES
from training.tracking import CHALLENGER, RegisteredBundle, TrackingStore

COVERAGE_SLACK = 0.005
"""Half a point of coverage is less than one battery of the smallest type."""

SILENCE_SLACK = 0.005
"""Less than one battery of the type with the most visits."""

DECIDED_SLACK = 0.01
"""A point of certified decided fraction is what one battery near a threshold moves over the splits."""


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
    """Gates between two bundles' evaluations; a method the champion has and the challenger has not is worse."""
    for method, before in champion["methods"].items():
        after = challenger["methods"].get(method)
        if after is None:
            yield Gate(ALL_TYPES, f"known method {method}", 1.0, 0.0, worse=True)
        else:
            yield from (replace(gate, figure=f"{method}: {gate.figure}") for gate in method_gates(before, after))


def method_gates(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> Iterator[Gate]:
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
    yield from _certificate_gates(champion["certified"], challenger["certified"])
    yield from _silence_gates(champion, challenger)


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


def _certificate_gates(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> Iterator[Gate]:
    """Certified decided fraction per cut and share of false accepts; what can no longer be certified is worse."""
    for cut, by_share in champion.items():
        for share, before in by_share.items():
            was, is_now = _decided(before), _decided(challenger.get(cut, {}).get(share))
            figure = f"certified decided fraction at {cut}, false accepts at most {share}"
            yield Gate(ALL_TYPES, figure, was, is_now, worse=is_now < was - DECIDED_SLACK)


def _decided(figures: Mapping[str, Any] | None) -> float:
    shares = (figures or {}).get("shares", {}).get(ALL_TYPES)
    return 0.0 if shares is None else float(shares["accepted"]) + float(shares["rejected"])


def _silence_gates(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> Iterator[Gate]:
    """Batteries of a type held out of training that are not sent on to a test: silent failures."""
    before, after = _silences(champion), _silences(challenger)
    for (type_key, figure), was in before.items():
        is_now = after.get((type_key, figure), 0.0)
        yield Gate(type_key, figure, was, is_now, worse=is_now < was - SILENCE_SLACK)


def _silences(figures: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Share of safe answers per type left out of training and way of declaring it."""
    declared = {
        (key, "left out, declared honestly"): float(share["fraction"])
        for key, share in figures["unseen_types_retested"].items()
    }
    misdeclared = {
        (key, f"left out, declared as another, {reading}"): float(each["visits_safe"]["fraction"])
        for key, readings in figures["misdeclared"].items()
        for reading, each in readings.items()
    }
    return declared | misdeclared


def _share_of_presented(figures: Mapping[str, Any], figure: str) -> float:
    """Wrong decisions over all batteries presented: a recipe that decides less is not called better or worse."""
    return float(figures[figure]["count"]) / float(figures["accepted"]["total"])
