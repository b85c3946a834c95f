"""The options of ``packgrade record``; what they do is loaded only when one of them is asked for."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from serving.record.location import record_location
from serving.record_upkeep import add_upkeep
from serving.settings import Settings

AddRecordOption = Callable[[argparse.ArgumentParser], None]
_ENTRY = "decision id, sequence number, battery code or 'all'"


def add_record(commands: Any, add_record_option: AddRecordOption) -> None:
    """Add ``record`` and its actions to the command line.

    Parameters
    ----------
    commands : argparse subparsers
        Where commands are added.
    add_record_option : callable
        Adds ``--record`` to an action.
    """
    record = commands.add_parser("record", help="verify, show, export, replay, regrade and correct the record")
    actions = record.add_subparsers(required=True, metavar="ACTION")
    for add in (_add_verify, _add_checkpoint):
        add(actions)
    for add_with_record in (_add_show, _add_export, _add_replay, _add_regrade, _add_outcomes, _add_correct):
        add_record_option(add_with_record(actions))
    add_upkeep(actions, add_record_option)


def _add_verify(actions: Any) -> None:
    verify = actions.add_parser("verify", help="check every entry; needs no service and no trust in it")
    verify.add_argument("record_file", type=record_location, nargs="?", metavar="FILE|URL|ARCHIVE.zip")
    verify.add_argument(
        "--head", metavar="SEQUENCE:SHA256", help="a receipt kept elsewhere; shows a record rolled back"
    )
    verify.add_argument(
        "--checkpoint", type=Path, action="append", default=[], metavar="FILE", help="a checkpoint kept elsewhere"
    )
    verify.add_argument("--receipts", type=Path, metavar="DIR", help="replies or receipts (*.json) kept by a station")
    _add_keys(verify, "public key (default: the one beside the record or inside the archive)")
    verify.add_argument(
        "--without-key", action="store_true", help="verify although no public key is there; signatures are not checked"
    )
    _runs(verify, "verify")


def _add_checkpoint(actions: Any) -> None:
    checkpoint = actions.add_parser("checkpoint", help="print the signed head of the log, to be kept elsewhere")
    checkpoint.add_argument("record_file", type=record_location, nargs="?", metavar="FILE|URL")
    checkpoint.add_argument("--out", type=Path, metavar="FILE", help="write it to a file, such as a witness's")
    _runs(checkpoint, "checkpoint")


def _add_show(actions: Any) -> argparse.ArgumentParser:
    show: argparse.ArgumentParser = actions.add_parser("show", help="print entries as JSON")
    show.add_argument("entry", help=_ENTRY)
    show.add_argument("--from", dest="first", type=_count, default=0, metavar="N", help="begin at this entry")
    show.add_argument("--limit", type=_count, default=100, metavar="N", help="print at most so many (default 100)")
    return _runs(show, "show")


def _add_export(actions: Any) -> argparse.ArgumentParser:
    export: argparse.ArgumentParser = actions.add_parser("export", help="write a self-contained evidence archive")
    export.add_argument("--out", type=Path, required=True, metavar="ARCHIVE.zip", help="new file")
    _add_at_hand(export, "whose manifest and model card go into it")
    _add_keys(export, "public key of the log (default: the one beside the record)")
    return _runs(export, "export")


def _add_replay(actions: Any) -> argparse.ArgumentParser:
    replay: argparse.ArgumentParser = actions.add_parser(
        "replay",
        help="decide recorded cases again and compare bit for bit",
        epilog="Exit code 0: all equal; 1: some differ; 3: some could not be replayed, none differs.",
    )
    replay.add_argument("entry", help=_ENTRY)
    _add_at_hand(replay, "to decide with")
    return _runs(replay, "replay")


def _add_regrade(actions: Any) -> argparse.ArgumentParser:
    regrade: argparse.ArgumentParser = actions.add_parser(
        "regrade",
        help="what another policy would have said; records nothing",
        epilog="Exit code 0: all regraded; 3: some could not be.",
    )
    regrade.add_argument("--policy", dest="new_policy", type=Path, required=True, metavar="FILE", help="the new policy")
    regrade.add_argument(
        "--since",
        required=True,
        metavar="NUMBER|DATE",
        help="first entry, by its number; or by a day (UTC) or moment: the first entry recorded then or later, "
        "and all that follow it in the log",
    )
    regrade.add_argument(
        "--bundle",
        dest="new_bundle",
        type=Path,
        metavar="DIR",
        help="another bundle as well; or a folder of several, in which each decision finds its own "
        "(default: each its own, if it is the one in force)",
    )
    regrade.add_argument("--out", type=Path, metavar="FILE.csv", help="new table of the decisions that would change")
    return _runs(regrade, "regrade")


def _add_outcomes(actions: Any) -> argparse.ArgumentParser:
    outcomes: argparse.ArgumentParser = actions.add_parser(
        "outcomes", help="take measured capacities in, or write them out for retraining"
    )
    way = outcomes.add_mutually_exclusive_group(required=True)
    way.add_argument("--add", type=Path, metavar="FILE.csv", help="measured capacities, one per row (docs/outcomes.md)")
    way.add_argument("--out", type=Path, metavar="FILE.csv", help="new table of outcomes with their decisions")
    outcomes.add_argument("--all", action="store_true", help="with --out: every outcome, not only what recalibrates")
    outcomes.add_argument(
        "--bundle", type=Path, metavar="DIR", help="with --out: the bundle to recalibrate (default: the one in force)"
    )
    outcomes.add_argument("--station", help="station that reports them")
    return _runs(outcomes, "outcomes")


def _add_correct(actions: Any) -> argparse.ArgumentParser:
    correct: argparse.ArgumentParser = actions.add_parser(
        "correct", help="override an unsafe verdict or withdraw a decision"
    )
    correct.add_argument("decision_id", metavar="DECISION", help="decision id")
    correct.add_argument("--action", required=True, choices=("override", "withdraw"), help="see docs/verdicts.md")
    correct.add_argument("--reason", required=True, help="why; stays in the record for ever, so name nobody here")
    correct.add_argument("--person", required=True, metavar="NAME", help="who answers for it; can be erased")
    correct.add_argument("--policy", type=Path, metavar="FILE", help="policy file, for the date of the upload")
    correct.add_argument("--station", help="station the correction belongs to")
    return _runs(correct, "correct")


def _add_at_hand(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Bundles and policies a record names; those in force are always at hand."""
    parser.add_argument(
        "--bundle",
        dest="bundles",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help=f"a bundle {purpose}, or a folder of bundles; may be given several times",
    )
    parser.add_argument(
        "--policy",
        dest="policies",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a policy file, or a folder of them; may be given several times",
    )


def _add_keys(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--key", type=Path, action="append", default=[], metavar="FILE", help=text)


def _runs(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    parser.set_defaults(command=partial(_run, name))
    return parser


def _run(name: str, options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.record_commands import COMMANDS  # noqa: PLC0415 - loads models and readers of the record

    return COMMANDS[name](options, settings, console)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, not {text[:20]!r}")
    return int(text)
