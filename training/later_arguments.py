"""Arguments of the commands around training: data in, outcomes back, a new battery type.

Kept apart from what the commands do, so that ``--help`` does not wait for the training libraries.
"""

import argparse
from pathlib import Path
from typing import Any


def add_later_commands(commands: Any, data_folder: Path | None) -> None:
    """Add ``fetch``, ``report``, ``recalibrate``, ``onboard`` and ``fleet`` to the subparsers of `packgrade-train`.

    Parameters
    ----------
    commands : argparse subparsers
        What they are added to.
    data_folder : Path or None
        The data folder of the environment.
    """
    fetch: argparse.ArgumentParser = commands.add_parser(
        "fetch", help="download a public data set at its pinned commit, every byte checked"
    )
    fetch.add_argument("source", metavar="NAME", help="which set: pulsebat")
    fetch.add_argument("--from", dest="from_folder", type=Path, metavar="DIR", help="take the files from a folder")
    fetch.add_argument("--to", type=Path, metavar="DIR", default=data_folder, help="data folder to fill")
    fetch.add_argument("--base-url", metavar="URL", help="another address with the same folders below it")
    fetch.set_defaults(command="fetch")
    _add_report(commands)
    _add_recalibrate(commands)
    _add_onboard(commands)
    _add_fleet(commands)


def _add_report(commands: Any) -> None:
    report: argparse.ArgumentParser = commands.add_parser(
        "report", help="compare outcomes with what was promised; exit code 2 if a coverage left its band"
    )
    report.add_argument("--outcomes", type=Path, required=True, metavar="FILE", help="CSV of record outcomes --out")
    report.add_argument("--bundle", type=Path, metavar="DIR", help="only outcomes of this bundle, beside its errors")
    report.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    _add_include_selected(report)
    report.set_defaults(command="report")


def _add_recalibrate(commands: Any) -> None:
    recalibrate: argparse.ArgumentParser = commands.add_parser(
        "recalibrate", help="new interval and calibrating batteries from outcomes, the same models"
    )
    recalibrate.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle that estimated them")
    recalibrate.add_argument(
        "--outcomes", type=Path, required=True, metavar="FILE", help="CSV of record outcomes --out"
    )
    recalibrate.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    recalibrate.add_argument("--version", help="version of the new bundle (default: the next +rN)")
    recalibrate.add_argument(
        "--only-outcomes", action="store_true", help="replace the batteries of the bundle instead of joining them"
    )
    _add_include_selected(recalibrate)
    recalibrate.set_defaults(command="recalibrate")


def _add_onboard(commands: Any) -> None:
    onboard: argparse.ArgumentParser = commands.add_parser(
        "onboard", help="teach a bundle a new battery type from a few fully tested batteries"
    )
    onboard.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle that learns the type")
    onboard.add_argument("--manifest", type=Path, required=True, metavar="FILE", help="runs, as for packgrade batch")
    onboard.add_argument("--labels", type=Path, required=True, metavar="FILE", help="measured capacities")
    onboard.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    onboard.add_argument("--name", default="onboarding", help="name of the data in the bundle")
    onboard.add_argument("--licence", default="own", help="licence of the data")
    onboard.add_argument("--version", help="version of the new bundle (default: the next +tN)")
    onboard.add_argument("--policy", type=Path, metavar="FILE", help="policy the certificate is asked for")
    onboard.set_defaults(command="onboard")


def _add_include_selected(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--include-selected", action="store_true", help="also count batteries that were not drawn by lot"
    )


def _add_fleet(commands: Any) -> None:
    fleet: argparse.ArgumentParser = commands.add_parser(
        "fleet", help="simulate a fleet of packs with known truth (needs the extra `simulation`)"
    )
    fleet.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder")
    fleet.add_argument("--packs", type=int, default=20, metavar="N", help="packs, alternately NMC and LFP (default 20)")
    fleet.add_argument("--groups", type=int, default=96, metavar="N", help="groups in series at most (default 96)")
    fleet.add_argument("--days", type=int, default=6, metavar="N", help="recorded days per pack (default 6)")
    fleet.add_argument("--months", type=float, default=6.0, help="calendar time they are spread over (default 6)")
    fleet.add_argument("--sampling", type=float, default=30.0, metavar="SECOND", help="step of the record (default 30)")
    fleet.add_argument("--seed", type=int, default=0, help="pack n is the same in a fleet of any size (default 0)")
    fleet.add_argument("--extremes-only", action="store_true", help="leave the voltages of single groups out")
    fleet.set_defaults(command="fleet")
