"""``packgrade record`` at work: calls what verifies, shows, exports and decides again, and turns it into an exit code.

Exit codes: 0 done; 1 the record is not whole, or a replay differs; 3 some decisions could not be
decided again with what is at hand.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import islice

from rich.console import Console
from rich.text import Text

from features.errors import InvalidInput, Problem
from models.bundle import MANIFEST_NAME
from models.policy_file import load_policy
from serving.artifacts import Artifacts
from serving.correction_command import print_correction
from serving.grader_shelf import GraderShelf
from serving.outcome_commands import print_outcomes
from serving.record.archive_write import export_archive
from serving.record.audit import (
    KeptElsewhere,
    chosen_leaves,
    last_checkpoint,
    print_verification,
    progress_bar,
    public_keys,
    shown_entries,
    told_leaves,
)
from serving.record.location import opened_store
from serving.record.source import require_found, source_of
from serving.regrade import decisions_since, parsed_since, regraded
from serving.regrade_report import print_regrade
from serving.replay import print_replays
from serving.settings import Settings

_DONE, _DIFFERS, _NOT_ALL = 0, 1, 3


def _verify(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    kept = KeptElsewhere(
        options.head,
        tuple(options.checkpoint),
        options.receipts,
        tuple(options.key),
        settings.log_key_file,
        options.without_key,
    )
    return _DONE if print_verification(console, settings.record_file, kept) else _DIFFERS


def _checkpoint(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    note = last_checkpoint(settings.record_file, options.out)
    if options.out is None:
        print(note, end="")
    else:
        options.out.write_text(note, encoding="utf-8")
        console.print(f"Checkpoint written to {options.out}; keep it on other storage than the record.")
    return _DONE


def _show(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    entries = shown_entries(source_of(settings.record_file), options.entry, options.first)
    for entry in islice(entries, options.limit):
        print(json.dumps(entry, ensure_ascii=False, indent=2))
    if (following := next(entries, None)) is not None:
        print(f"More entries follow; go on with --from {following['sequence']}.", file=sys.stderr)
    return _DONE


def _export(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    keys = public_keys(settings.record_file, options.key, settings.log_key_file)
    with progress_bar(console, "exporting") as told:
        table = export_archive(
            opened_store(settings.record_file), options.out, _at_hand(options, settings), keys, progress=told
        )
    head = table["head"]
    written = f"{options.out.name}: {table['entries']} entries, {table['checkpoints']} checkpoints, verified"
    console.print(Text(f"{written}; head {head['sequence']}:{head['leaf_sha256']}"), soft_wrap=True)
    for named in table["named_by_entries"]:
        for name in named["missing_files"]:
            told_of = f"{named['name']} {named['version']}, named by {named['entries']} entries"
            line = f"  missing: {name} ({told_of} from entry {named['first_entry']} on)"
            console.print(Text(line, style="yellow"), soft_wrap=True)
    return _DONE


def _replay(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    record, shelf = source_of(settings.record_file), GraderShelf(_at_hand(options, settings))
    with progress_bar(console, "replaying") as told:
        leaves = require_found(told_leaves(record, chosen_leaves(record, options.entry), told), options.entry)
        summary = print_replays(console, leaves, shelf, every_one=options.entry != "all")
    if not summary.decisions:
        rule = "no such decision is in the record"
        raise InvalidInput("Nothing was replayed.", [Problem("entry", rule, options.entry[:80])])
    if summary.different:
        return _DIFFERS
    return _NOT_ALL if summary.not_replayed else _DONE


def _regrade(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    since, policy = parsed_since(options.since), load_policy(options.new_policy)
    bundle_folder = options.new_bundle or settings.bundle_folder
    at_hand = Artifacts.at_hand([bundle_folder], [options.new_policy])
    is_one = options.new_bundle is not None and (options.new_bundle / MANIFEST_NAME).is_file()
    bundle = next(iter(at_hand.bundles)) if is_one else None
    record, shelf = source_of(settings.record_file), GraderShelf(at_hand)
    with progress_bar(console, "regrading") as told:
        first = since if isinstance(since, int) else 0
        decisions = decisions_since(told_leaves(record, record.leaves(first), told), since)
        regrades = (regraded(leaf, shelf, policy.stamp.sha256, bundle) for leaf in decisions)
        summary = print_regrade(console, regrades, options.out)
    return _NOT_ALL if summary.reasons else _DONE


def _outcomes(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    print_outcomes(console, settings, options, datetime.now(UTC))
    return _DONE


def _correct(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    told = {name: getattr(options, name) for name in ("decision_id", "action", "reason", "person")}
    print_correction(console, settings, told, datetime.now(UTC))
    return _DONE


def _at_hand(options: argparse.Namespace, settings: Settings) -> Artifacts:
    """What was given, and what is in force."""
    return Artifacts.at_hand([settings.bundle_folder, *options.bundles], [settings.policy_file, *options.policies])


COMMANDS: Mapping[str, Callable[[argparse.Namespace, Settings, Console], int]] = {
    "verify": _verify,
    "checkpoint": _checkpoint,
    "show": _show,
    "export": _export,
    "replay": _replay,
    "regrade": _regrade,
    "outcomes": _outcomes,
    "correct": _correct,
}
"""What each action of ``packgrade record`` does."""
