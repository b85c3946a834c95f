"""`packgrade-train fleet`: the order from the command line, and a clear word where PyBaMM is not installed."""

import argparse
from importlib.util import find_spec

from rich.console import Console

from features.errors import InvalidInput, PackGradeError, Problem
from training.fleet.order import FleetOrder


def fleet(asked: argparse.Namespace, console: Console) -> None:
    """Simulate a fleet, as the command line asks.

    Raises
    ------
    PackGradeError
        ``EXTRA_NEEDED`` without PyBaMM; ``FOLDER_NOT_EMPTY`` if the folder holds something; ``INVALID_INPUT``
        naming a number out of range.
    """
    order = FleetOrder(
        asked.packs,
        asked.groups,
        asked.days,
        asked.months,
        asked.sampling,
        asked.seed,
        cell_columns=not asked.extremes_only,
    )
    if find_spec("pybamm") is None:
        message = "Simulating needs PyBaMM. Nothing was written. Install packgrade[training,simulation]."
        raise PackGradeError("EXTRA_NEEDED", message)
    if asked.out.exists() and any(asked.out.iterdir()):
        problem = Problem("--out", "must be a new or empty folder", asked.out.name)
        raise InvalidInput("Nothing was written.", [problem], code="FOLDER_NOT_EMPTY")
    from training.fleet.generate import write_fleet  # noqa: PLC0415 - loads PyBaMM

    truth = write_fleet(order, asked.out, console.print)
    health = truth["state_of_health_fraction"]
    console.print(f"{len(truth)} packs, state of health {health.min():.3f} to {health.max():.3f}: {asked.out}")
