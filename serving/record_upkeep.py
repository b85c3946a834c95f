"""``packgrade record erase``, ``rotate-key`` and ``upgrade``: what may be done to a record beside writing to it."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from features.errors import InvalidInput, Problem
from serving.settings import Settings, software_version


def add_upkeep(actions: Any, add_record_option: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the actions to ``packgrade record``.

    Parameters
    ----------
    actions : argparse subparsers
        Where actions are added.
    add_record_option : callable
        Adds ``--record`` to an action.
    """
    erase = actions.add_parser("erase", help="erase the name of an operator for ever; the log stays whole")
    erase.add_argument("pseudonym", nargs="?", metavar="PSEUDONYM", help="as entries show it under `operator`")
    erase.add_argument("--operator", metavar="NAME", help="instead: the name itself, at the station of --station")
    erase.add_argument("--station", metavar="NAME", help="station of the operator (default: this one)")
    erase.set_defaults(command=_erase)
    rotate = actions.add_parser("rotate-key", help="sign with a new key from here on; docs/keys.md")
    rotate.set_defaults(command=_rotate_key)
    upgrade = actions.add_parser("upgrade", help="bring a record of an earlier release to this one's schema")
    upgrade.set_defaults(command=_upgrade)
    for action in (erase, rotate, upgrade):
        add_record_option(action)


def _erase(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.events.operators import erase_operator, pseudonym_at  # noqa: PLC0415 - opens the record's writer
    from serving.grading import open_record  # noqa: PLC0415 - as above

    if (options.pseudonym is None) == (options.operator is None):
        raise InvalidInput("Nothing was erased.", [Problem("erase", "needs a pseudonym, or --operator NAME")])
    with open_record(settings.record_file, software_version(), None, settings.log_key_file) as ledger:
        pseudonym = options.pseudonym or pseudonym_at(ledger, settings.station, options.operator)
        if pseudonym is None or not erase_operator(ledger, pseudonym):
            rule = f"must be known at station {settings.station}" if options.operator else "must be a pseudonym in use"
            where = "--operator" if options.operator else "pseudonym"
            raise InvalidInput("Nothing was erased.", [Problem(where, rule, options.pseudonym or "")])
    console.print(Text(f"Erased: nobody can tell any more whom {pseudonym} stands for. Erase backups of it too."))
    return 0


def _rotate_key(_: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.events.keys import rotate_key  # noqa: PLC0415 - as above
    from serving.grading import open_record  # noqa: PLC0415 - as above
    from serving.record.log_key import key_file  # noqa: PLC0415 - as above

    key_path = settings.log_key_file or key_file(Path(settings.record_file))
    with open_record(settings.record_file, software_version(), settings.witness_file, settings.log_key_file) as ledger:
        recorded = rotate_key(ledger, key_path, datetime.now(UTC))
    console.print(Text(f"Entry {recorded.leaf.sequence} changes the key. New public key:"))
    print(recorded.leaf.body["new"])
    return 0


def _upgrade(_: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.record.migrations.upgrade import upgraded  # noqa: PLC0415 - no other action migrates

    before, after = upgraded(settings.record_file)
    told = f"Upgraded from schema {before} to {after}" if before < after else f"Schema {after} is this release's"
    console.print(Text(f"{told}; every entry is as it was. Run `packgrade record verify` before you go on."))
    return 0
