"""CDF@α on a terminal: what a certificate decides, accepted and rejected apart, and what it refuses.

Presentation only. The table never stands without the sentence on what the promise holds for.
"""

from collections.abc import Iterator, Mapping

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from models.promise import MIX_ONLY, refusal_in_words
from training.certified import ALL_TYPES, CertifiedFraction, DecidedShares

_COLUMNS = ("decided", "accepted", "rejected", "undecided", "false accepts", "false rejects")


def print_certified(console: Console, certified: Mapping[str, Mapping[str, CertifiedFraction]]) -> None:
    """Print the certified decided fraction per cut and α, by type at every α that is certified, and every refusal."""
    for at_cut in certified.values():
        console.print(certified_table(list(at_cut.values())))
    for refusal in _refusals(certified):
        console.print(f"REFUSED  {refusal}", highlight=False)
    console.print(f"{MIX_ONLY.en}\n", highlight=False)


def certified_table(fractions: list[CertifiedFraction]) -> Table:
    """Table of one cut: a row per α and type, the types below their sum."""
    first = fractions[0]
    table = Table(title=_title(first), title_justify="left", box=SIMPLE, pad_edge=False)
    for number, column in enumerate(("CDF@α", "type", *_COLUMNS)):
        table.add_column(column, justify="left" if number < 2 else "right")
    for each in fractions:
        alpha = f"{each.rule.levels.max_false_accept_share:.3g}"
        if ALL_TYPES not in each.shares:
            table.add_row(alpha, "refused in every split", *("-" for _ in _COLUMNS))
            continue
        table.add_row(alpha, ALL_TYPES, *_cells(each.shares[ALL_TYPES]), style="bold")
        for key in sorted(set(each.shares) - {ALL_TYPES}):
            table.add_row("", key, *_cells(each.shares[key]))
    return table


def _title(fraction: CertifiedFraction) -> str:
    levels = fraction.rule.levels
    return (
        f"Certified at state of health {fraction.cut_fraction:.2f}: shares of all presented; {fraction.split_count} "
        f"splits, {fraction.calibrating} batteries calibrate, {fraction.presented} are presented; "
        f"false rejects <= {levels.max_false_reject_share:.0%}, confidence {levels.confidence:.0%}"
    )


def _cells(shares: DecidedShares) -> Iterator[str]:
    parts = (shares.decided, shares.accepted, shares.rejected, shares.undecided)
    for share in (*parts, shares.false_accepts, shares.false_rejects):
        yield f"{100 * share:.2f} %"


def _refusals(certified: Mapping[str, Mapping[str, CertifiedFraction]]) -> Iterator[str]:
    """Each refusal once, at the first cut: how many batteries are missing depends on no cut."""
    first_cut: Mapping[str, CertifiedFraction] = next(iter(certified.values()), {})
    for each in first_cut.values():
        yield from (refusal_in_words(refusal).en for refusal in each.refusals)
