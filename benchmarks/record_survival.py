"""The long runs of what the record must survive; each prints its seed and what it found, or fails.

``python -m benchmarks.record_survival [kills] [faults] [flips] [worlds] [--seed N]`` runs those named, or
all: 5,000 kills of workers that send the same keys; KILL, EIO and ENOSPC at every file-system call of a
decision (``strace``); 2,000 flipped bits; 3,000 simulated worlds. Takes about half an hour.
"""

import argparse
import tempfile
import time
from pathlib import Path

from serving.record.checkpoint import SignerKey
from tests.support.fault_injection import injected, strace_is_usable
from tests.support.record_writer import survived
from tests.support.simulated_world import SimulatedWorld
from tests.support.tampered_record import flipped_bits

KILLS, FLIPS, WORLDS, STEPS = 5000, 2000, 3000, 60


def kills(folder: Path, seed: int) -> str:
    """Kill workers."""
    return str(survived(folder / "record.sqlite", KILLS, seed))


def faults(folder: Path, seed: int) -> str:
    """Fail every file-system call of a decision in three ways; needs no chance."""
    if not strace_is_usable():
        return f"seed {seed}: not run, strace is absent or may not attach here"
    told = injected(folder / "faults")
    return f"{told.total()} faults: {dict(sorted(told.items()))}; every log verified, every retry was recorded once"


def flips(folder: Path, seed: int) -> str:
    """Flip bits of a record."""
    return str(flipped_bits(folder, FLIPS, seed))


def worlds(folder: Path, seed: int) -> str:
    """Simulate worlds, seed after seed."""
    key, acknowledged = SignerKey.made("packgrade/simulated"), 0
    for each in range(seed, seed + WORLDS):
        acknowledged += SimulatedWorld(each, key).run(STEPS, folder).acknowledged
    return f"seeds {seed} to {seed + WORLDS - 1}: {WORLDS} worlds, {acknowledged} acknowledged = logged = delivered"


RUNS = {run.__name__: run for run in (kills, faults, flips, worlds)}


def main() -> None:
    """Run what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"of {', '.join(RUNS)}; all without")
    parser.add_argument("--seed", type=int, default=20261122)
    options = parser.parse_args()
    if unknown := set(options.runs) - RUNS.keys():
        parser.error(f"no such run: {', '.join(sorted(unknown))}")
    for name in options.runs or RUNS:
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            print(
                f"{name:7s} {RUNS[name](Path(folder), options.seed)} ({time.perf_counter() - begun:.0f} s)", flush=True
            )


if __name__ == "__main__":
    main()
