"""`packgrade-train`: the data scientists' command.

Exit codes: 0 done, 1 refused (bad plan or data, a worse challenger, nothing registered), 2 wrong usage, or an
alarm of `report`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from features.errors import PackGradeError
from training.later_arguments import add_later_commands

DATA_FOLDER_VARIABLE = "PACKGRADE_DATA_DIR"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
PLANS = Path(__file__).parent / "plans"
REFERENCE_BUNDLE_PLAN = PLANS / "reference.toml"
REFERENCE_PLAN = PLANS / "pulse_reference.toml"
SHIPPED_POLICY = Path(__file__).parent.parent / "models" / "policies" / "example-2026-11.toml"
_DEFAULT_NAME = "packgrade-reference"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    asked = _parser().parse_args(arguments)
    from training import commands, report  # noqa: PLC0415 - `--help` must not wait for the training libraries

    try:
        code: int | None = getattr(commands, asked.command)(asked, report.report_console())
    except (PackGradeError, FileExistsError) as problem:
        Console(stderr=True, highlight=False).print(str(problem), markup=False)
        return 1
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="packgrade-train", description="Train, judge and promote PackGrade bundles.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="train, judge, log and register the bundle of a plan")
    run.add_argument("--out", type=Path, help="also keep the bundle in this new folder")
    evaluate = commands.add_parser("evaluate", help="judge a plan's recipe on held-out cells")
    evaluate.add_argument("--no-tracking", action="store_true", help="print only, log nothing")
    for each, command in ((run, "run"), (evaluate, "evaluate")):
        plan_help = "plan of a method, or of a bundle of several (TOML)"
        each.add_argument("plan", type=Path, nargs="?", default=REFERENCE_BUNDLE_PLAN, help=plan_help)
        each.add_argument("--data-dir", type=Path, default=_folder(), help=f"public data (${DATA_FOLDER_VARIABLE})")
        each.add_argument("--policy", type=Path, default=SHIPPED_POLICY, help="policy that decides in the evaluation")
        each.add_argument("--report", type=Path, metavar="FILE.html", help="also keep the report in this file")
        each.set_defaults(command=command)
    search = commands.add_parser("search", help="search better numbers for a plan, judged on cells it never saw")
    search.add_argument("plan", type=Path, nargs="?", default=REFERENCE_PLAN, help="plan of one method, with [search]")
    search.add_argument("--data-dir", type=Path, default=_folder(), help=f"public data (${DATA_FOLDER_VARIABLE})")
    search.add_argument("--trials", type=_count, required=True, metavar="N", help="the first is the plan as written")
    search.add_argument("--seed", type=int, default=0, help="same seed, same trials (default: 0)")
    search.add_argument("--out", type=Path, help="file for the best plan (default: PLAN_searched.toml beside it)")
    search.set_defaults(command="search")
    promote = commands.add_parser("promote", help="make the challenger the champion if it is nowhere worse")
    promote.set_defaults(command="promote")
    rollback = commands.add_parser("rollback", help="make the previous champion the champion again")
    rollback.set_defaults(command="rollback")
    export = commands.add_parser("export", help="write a registered bundle to a folder")
    export.add_argument("--version", default="champion", help="version number or alias (default: champion)")
    export.add_argument("--out", type=Path, required=True, help="new or empty folder")
    export.set_defaults(command="export")
    for each in (promote, rollback, export):
        each.add_argument("--name", default=_DEFAULT_NAME, help="name in the registry")
    for each in (run, evaluate, search, promote, rollback, export):
        each.add_argument("--tracking-uri", default=os.environ.get(TRACKING_VARIABLE), help="MLflow store")
    add_later_commands(commands, _folder())
    return parser


def _count(written: str) -> int:
    count = int(written)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {count}")
    return count


def _folder() -> Path | None:
    named = os.environ.get(DATA_FOLDER_VARIABLE)
    return Path(named) if named else None


if __name__ == "__main__":
    sys.exit(main())
