"""The command ``packgrade``: stations, fleet analysts and auditors. Parses, calls, prints; decides nothing.

Exit codes: 0 done; 1 done, but some rows have errors, a record does not verify, a replay differs or a
policy asks for what the bundle cannot promise; 2 the input or the command line is wrong; 3 the bundle,
the policy or the record cannot be used.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from features.errors import InvalidInput, PackGradeError
from serving.printing import batch_table, decision_panel, error_text
from serving.settings import Settings, settings_from_environment

EXIT_DONE, EXIT_DIFFERS, EXIT_BAD_INPUT, EXIT_UNUSABLE = 0, 1, 2, 3
Command = Callable[[argparse.Namespace, Settings, Console], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    console, errors = Console(), Console(stderr=True)
    try:
        settings = _with_options(settings_from_environment(), options)
        command: Command = options.command
        return command(options, settings, console)
    except InvalidInput as error:
        errors.print(error_text(error), highlight=False)
        return EXIT_BAD_INPUT
    except PackGradeError as error:
        errors.print(error_text(error), highlight=False)
        return EXIT_UNUSABLE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except KeyboardInterrupt:
        errors.print("Interrupted. What is in the record stays; the same command continues it.")
        return 130


def _with_options(settings: Settings, options: argparse.Namespace) -> Settings:
    named = {
        "record_file": getattr(options, "record_file", None),
        "bundle_folder": getattr(options, "bundle", None),
        "policy_file": getattr(options, "policy", None),
        "station": getattr(options, "station", None),
        "host": getattr(options, "host", None),
        "port": getattr(options, "port", None),
        "workers": getattr(options, "workers", None),
    }
    return replace(settings, **{name: value for name, value in named.items() if value is not None})


def _demo(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.demo import run_demo  # noqa: PLC0415 - the web stack is loaded only by the commands that serve

    return run_demo(console, once=options.once)


def _serve(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.service import serve  # noqa: PLC0415 - the web stack is loaded only by the commands that serve

    serve(settings)
    return EXIT_DONE


def _grade(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.single import grade_files  # noqa: PLC0415 - readers load pandas, which other commands do not need

    reply = grade_files(settings, options.battery, options.run, datetime.now(UTC))
    if options.json:
        print(json.dumps(reply, ensure_ascii=False, indent=2))
    else:
        console.print(decision_panel(reply, reply["battery_id"]))
        if reply["repeated"]:
            console.print("The same content was graded before; this is the decision of that time.")
    return EXIT_DONE


def _batch(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.batch.local import require_result_path, run_batch, summary, write_results  # noqa: PLC0415 - pandas
    from serving.batch.manifest import read_manifest  # noqa: PLC0415 - pandas
    from serving.single import open_grader  # noqa: PLC0415 - pandas

    require_result_path(options.out)
    orders = read_manifest(options.manifest)
    grader = open_grader(settings)
    with _progress(console, len(orders), quiet=options.quiet) as told:
        rows = run_batch(grader, orders, settings.station, datetime.now(UTC), told)
    write_results(options.out, rows, grader.policy.cuts)
    done = summary(rows)
    if options.json:
        print(json.dumps({"batteries": done.battery_count, "outcomes": done.outcomes, "errors": done.error_count}))
    elif not options.quiet:
        console.print(batch_table(done.outcomes, done.error_count))
        console.print(Text(f"results: {options.out.name}"))
    return EXIT_DIFFERS if done.error_count else EXIT_DONE


class _progress:  # noqa: N801 - a context manager used like a function
    """Progress bar on a terminal, a plain line per slice elsewhere, nothing when quiet."""

    def __init__(self, console: Console, total: int, *, quiet: bool) -> None:
        self._console, self._total, self._quiet = console, total, quiet
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=quiet or not console.is_terminal)
        self._task = self._bar.add_task("grading", total=total)

    def __enter__(self) -> Callable[[int, Counter[str]], None]:
        self._bar.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _tell(self, done: int, outcomes: Counter[str]) -> None:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        self._bar.update(self._task, completed=done, description=f"grading: {counts}")
        if not self._console.is_terminal and not self._quiet:
            print(f"{done}/{self._total} graded: {counts}", file=sys.stderr)


def _inspect(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.inspect_command import print_inspection  # noqa: PLC0415 - readers load pyarrow

    was_read = print_inspection(
        console,
        options.file,
        datetime.now(UTC),
        run_format=options.format,
        mapping=options.mapping,
        battery_id=options.battery_id,
        plot=options.plot,
        as_json=options.json,
    )
    return EXIT_DONE if was_read else EXIT_BAD_INPUT


def _policy_check(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.policy_command import print_policy_check  # noqa: PLC0415 - loads a whole bundle

    pair = settings.bundle_folder, settings.policy_file
    return EXIT_DONE if print_policy_check(console, *pair, as_json=options.json) else EXIT_DIFFERS


def _record_verify(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.record.audit import KeptElsewhere, print_verification  # noqa: PLC0415 - only this walks the record

    kept = KeptElsewhere(options.head, tuple(options.checkpoint), options.receipts, tuple(options.key))
    return EXIT_DONE if print_verification(console, settings.record_file, kept) else EXIT_DIFFERS


def _record_checkpoint(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.record.audit import last_checkpoint  # noqa: PLC0415 - as above

    note = last_checkpoint(settings.record_file, options.out)
    if options.out is None:
        print(note, end="")
    else:
        options.out.write_text(note, encoding="utf-8")
        console.print(f"Checkpoint written to {options.out}; keep it on other storage than the record.")
    return EXIT_DONE


def _record_show(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.record.audit import shown_entries  # noqa: PLC0415 - as above

    for entry in shown_entries(settings.record_file, options.entry):
        print(json.dumps(entry, ensure_ascii=False, indent=2))
    return EXIT_DONE


def _record_replay(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.single import replay_decisions  # noqa: PLC0415 - as above

    replays = list(replay_decisions(settings, options.entry))
    for replay in replays:
        verdict = "equal bit for bit" if replay.equal else f"DIFFERS in {', '.join(replay.differences)}"
        console.print(Text(f"{replay.decision_id}  {verdict}"), highlight=False)
    return EXIT_DONE if all(replay.equal for replay in replays) else EXIT_DIFFERS


def _record_outcomes(options: argparse.Namespace, settings: Settings, console: Console) -> int:
    from serving.outcome_commands import print_outcomes  # noqa: PLC0415 - only this command reads and writes the tables

    print_outcomes(console, settings, options.add, options.out, datetime.now(UTC))
    return EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="packgrade", description="Grade retired electric-vehicle batteries; every decision is recorded first."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="start a service, grade a handful of batteries over HTTP, verify the record"
    )
    demo.add_argument("--once", action="store_true", help="stop the service when the batteries are graded")
    demo.set_defaults(command=_demo)
    _add_serve(commands)
    _add_grade(commands)
    _add_batch(commands)
    _add_inspect(commands)
    _add_policy(commands)
    _add_record(commands)
    return parser


def _add_artifacts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: the shipped one)")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="policy file (default: the shipped example)")
    parser.add_argument("--record", dest="record_file", type=Path, metavar="FILE", help="record file")


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser("serve", help="serve the HTTP API")
    _add_artifacts(serve)
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (default 3000)")
    serve.add_argument("--workers", type=int, help="worker processes (default 1)")
    serve.set_defaults(command=_serve)


def _add_grade(commands: Any) -> None:
    grade = commands.add_parser("grade", help="grade one battery from files")
    _add_artifacts(grade)
    grade.add_argument("--battery", type=Path, required=True, metavar="FILE", help="battery.json: identity, inspection")
    grade.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="kind=…,format=…,path=…[,train=N][,mapping=FILE][,started_at=…]",
        help="a measurement file; may be given several times",
    )
    grade.add_argument("--station", help="station the decision belongs to")
    grade.add_argument("--json", action="store_true", help="print the reply as JSON")
    grade.set_defaults(command=_grade)


def _add_batch(commands: Any) -> None:
    batch = commands.add_parser("batch", help="grade every battery of a manifest")
    _add_artifacts(batch)
    batch.add_argument("manifest", type=Path, help="CSV or Parquet, one row per run")
    batch.add_argument("--out", type=Path, required=True, metavar="RESULTS", help="result file, .parquet or .csv")
    batch.add_argument("--station", help="station the decisions belong to")
    batch.add_argument("--quiet", action="store_true", help="print nothing but errors")
    batch.add_argument("--json", action="store_true", help="print the counts as JSON")
    batch.set_defaults(command=_batch)


def _add_inspect(commands: Any) -> None:
    inspect = commands.add_parser("inspect", help="say what a file is, what is read from it and what is dropped")
    inspect.add_argument("file", type=Path, metavar="FILE")
    inspect.add_argument("--format", default="", metavar="WORD", help="read it as this format (default: by content)")
    inspect.add_argument("--mapping", type=Path, metavar="FILE", help="vehicle mapping, with --format bms")
    inspect.add_argument("--battery-id", metavar="ID", help="battery to take from a file of many")
    inspect.add_argument("--plot", type=Path, metavar="FILE.svg", help="also draw what was read")
    inspect.add_argument("--json", action="store_true", help="print the answer as JSON")
    inspect.set_defaults(command=_inspect)


def _add_policy(commands: Any) -> None:
    policy = commands.add_parser("policy", help="check a policy against a bundle")
    actions = policy.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser("check", help="print what bundle and policy promise together; exit code 1 on refusal")
    check.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: the shipped one)")
    check.add_argument("--policy", type=Path, metavar="FILE", help="policy file (default: the shipped example)")
    check.add_argument("--json", action="store_true", help="print thresholds and refusals as JSON")
    check.set_defaults(command=_policy_check)


def _add_record(commands: Any) -> None:
    record = commands.add_parser("record", help="verify, show and replay the record")
    actions = record.add_subparsers(required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="check every entry; needs no service and no trust in it")
    verify.add_argument("record_file", type=Path, nargs="?", metavar="FILE")
    verify.add_argument(
        "--head", metavar="SEQUENCE:SHA256", help="a receipt kept elsewhere; shows a record rolled back"
    )
    verify.add_argument(
        "--checkpoint", type=Path, action="append", default=[], metavar="FILE", help="a checkpoint kept elsewhere"
    )
    verify.add_argument("--receipts", type=Path, metavar="DIR", help="replies or receipts (*.json) kept by a station")
    verify.add_argument(
        "--key", type=Path, action="append", default=[], metavar="FILE", help="public key (default: FILE.pub beside it)"
    )
    verify.set_defaults(command=_record_verify)
    checkpoint = actions.add_parser("checkpoint", help="print the signed head of the log, to be kept elsewhere")
    checkpoint.add_argument("record_file", type=Path, nargs="?", metavar="FILE")
    checkpoint.add_argument("--out", type=Path, metavar="FILE", help="write it to a file, such as a witness's")
    checkpoint.set_defaults(command=_record_checkpoint)
    show = actions.add_parser("show", help="print entries as JSON")
    show.add_argument("entry", help="decision id, sequence number or battery code")
    show.add_argument("--record", dest="record_file", type=Path, metavar="FILE")
    show.set_defaults(command=_record_show)
    outcomes = actions.add_parser("outcomes", help="take measured capacities in, or write them out for retraining")
    way = outcomes.add_mutually_exclusive_group(required=True)
    way.add_argument("--add", type=Path, metavar="FILE.csv", help="measured capacities, one per row (docs/outcomes.md)")
    way.add_argument("--out", type=Path, metavar="FILE.csv", help="new table of every outcome with its decision")
    outcomes.add_argument("--record", dest="record_file", type=Path, metavar="FILE")
    outcomes.add_argument("--station", help="station that reports them")
    outcomes.set_defaults(command=_record_outcomes)
    replay = actions.add_parser("replay", help="decide recorded cases again and compare bit for bit")
    replay.add_argument("entry", help="decision id, sequence number, battery code or 'all'")
    _add_artifacts(replay)
    replay.set_defaults(command=_record_replay)


if __name__ == "__main__":
    sys.exit(main())
