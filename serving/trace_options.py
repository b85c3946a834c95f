"""The options of ``packgrade trace``; what they do is loaded only when one of them is asked for."""

import argparse
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

from rich.console import Console

from serving.settings import Settings


def add_trace(commands: Any, add_record_option: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add ``trace`` and its actions to the command line.

    Parameters
    ----------
    commands : argparse subparsers
        Where commands are added.
    add_record_option : callable
        Adds ``--record`` to an action.
    """
    trace = commands.add_parser("trace", help="tell the platform, and what it was told")
    actions = trace.add_subparsers(required=True, metavar="ACTION")
    deliver = actions.add_parser("deliver", help="send what the platform was not told yet")
    way = deliver.add_mutually_exclusive_group()
    way.add_argument(
        "--once", action="store_true", help="send what is due, then end (default); exit code 1 if some is left"
    )
    way.add_argument("--watch", action="store_true", help="go on until stopped")
    status = actions.add_parser("status", help="how far delivery is: counts, the oldest, refused, next attempts")
    status.add_argument("--json", action="store_true", help="print it as JSON")
    retry = actions.add_parser("retry", help="make refused and put-off events due now")
    which = retry.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", metavar="EVENT|BATTERY", help="event id or battery code")
    which.add_argument("--all", action="store_true", help="all of them")
    overdue = actions.add_parser("overdue", help="events past their due date; exit code 1 if there are any")
    overdue.add_argument("--on", type=date.fromisoformat, metavar="DATE", help="on this day (default: today in China)")
    overdue.add_argument("--json", action="store_true", help="print them as JSON")
    for name, action in {"deliver": deliver, "status": status, "retry": retry, "overdue": overdue}.items():
        add_record_option(action)
        action.set_defaults(command=partial(_traced, name))


def _traced(name: str, options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.trace_commands import COMMANDS  # noqa: PLC0415 - loads the HTTP client

    return COMMANDS[name](options, settings, console)
