"""The command ``packgrade``: stations, fleet analysts and auditors. Parses, calls, prints; decides nothing.

Exit codes: 0 done; 1 done, but some rows have errors, a record does not verify, a replay differs or a
policy asks for what the bundle cannot promise; 2 the input or the command line is wrong; 3 the bundle,
the policy or the record cannot be used.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from features.errors import InvalidInput, PackGradeError
from serving.batch_options import add_batch
from serving.printing import decision_panel, error_text
from serving.record.location import record_location
from serving.record_options import add_record
from serving.settings import Settings, settings_from_environment
from serving.trace_options import add_trace

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

    reply = grade_files(settings, options.battery, options.run, datetime.now(UTC), options.operator)
    if options.json:
        print(json.dumps(reply, ensure_ascii=False, indent=2))
    else:
        console.print(decision_panel(reply, reply["battery_id"]))
        if reply["repeated"]:
            console.print("The same content was graded before; this is the decision of that time.")
    return EXIT_DONE


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
    add_batch(commands, _add_artifacts)
    _add_inspect(commands)
    _add_policy(commands)
    add_record(commands, _add_record_option)
    add_trace(commands, _add_record_option)
    return parser


def _add_artifacts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: the shipped one)")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="policy file (default: the shipped example)")
    parser.add_argument("--record", dest="record_file", type=record_location, metavar="FILE|URL", help="record")


def _add_record_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--record", dest="record_file", type=record_location, metavar="FILE|URL", help="record")


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
    grade.add_argument("--operator", metavar="NAME", help="name or badge of who grades; the record gets a pseudonym")
    grade.add_argument("--json", action="store_true", help="print the reply as JSON")
    grade.set_defaults(command=_grade)


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


if __name__ == "__main__":
    sys.exit(main())
