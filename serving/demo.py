"""The demo: a real service, a handful of simulated batteries over HTTP, a verified record.

Nothing is staged: the service is the one ``packgrade serve`` starts, the batteries are the request
bodies in ``samples/``, and what comes out otherwise than promised here ends the demo with exit code 1.
"""

import contextlib
import json
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from serving.local_service import LocalService, local_service
from serving.printing import decision_panel
from serving.record.leaf import LeafKind
from serving.record.verify import verify_record

SAMPLES = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class DemoBattery:
    """A sample and what the demo promises of it.

    Attributes
    ----------
    sample : str
        File in ``samples/``, without its ending.
    title : str
        What it is, in words.
    true_capacity_ah : float
        What the simulator gave it; the service is not told. [Ah]
    outcome : str
        Outcome it must get.
    grade : str or None
        Grade it must get.
    next_test : str or None
        Test a retest must name.
    """

    sample: str
    title: str
    true_capacity_ah: float
    outcome: str
    grade: str | None = None
    next_test: str | None = None

    def body(self) -> bytes:
        """Request body."""
        return (SAMPLES / f"{self.sample}.json").read_bytes()

    def broken_promises(self, reply: Mapping[str, Any]) -> Iterator[str]:
        """Sentences on what came out otherwise."""
        test = reply["next_test"] and reply["next_test"]["test_id"]
        promised, given = (self.outcome, self.grade, self.next_test), (reply["outcome"], reply["grade"], test)
        for what, wanted, came in zip(("outcome", "grade", "next test"), promised, given, strict=True):
            if wanted != came:
                yield f"{self.sample}: {what} {wanted} was promised, {came} came."


BATTERIES: Sequence[DemoBattery] = (
    DemoBattery("healthy_lfp35_cell", "a healthy cell: LFP 35 Ah, pulse test", 33.6, "cascade", grade="A"),
    DemoBattery("worn_lfp20_cell", "a worn cell: LFP 20 Ah, pulse test", 15.1, "cascade", grade="B"),
    DemoBattery("spent_lmo10_cell", "a spent cell: LMO 10 Ah, full capacity test", 5.0, "recycle"),
    DemoBattery(
        "borderline_lmo10_cell",
        "a borderline cell: LMO 10 Ah, pulse test",
        6.2,
        "retest",
        next_test="second_pulse_train",
    ),
    DemoBattery(
        "thinly_measured_nmc21_cell",
        "a thinly measured cell: NMC 21 Ah, pulses of one amplitude only",
        19.95,
        "retest",
        next_test="pulse_train",
    ),
    DemoBattery(
        "insulation_fault_nmc_pack", "a pack with an insulation fault: NMC 150 Ah, vehicle telemetry", 129.0, "hold"
    ),
    DemoBattery(
        "unknown_type_lfp50_cell",
        "a type nobody trained on: LFP 50 Ah, pulse test",
        45.0,
        "retest",
        next_test="capacity_test",
    ),
)


SAMPLE_FLEET = Path(__file__).parent / "sample_fleet"
FLEET_PACK = "FLEET-NMC-0009"
"""A pack of the sample fleet in which one group of cells is going bad; `truth.csv` there says which."""

_PACK_REQUEST = {
    "battery": {
        "battery_id": FLEET_PACK,
        "level": "pack",
        "chemistry": "NMC",
        "rated_capacity_ah": 150.0,
        "series_count": 92,
    },
    "runs": [{"kind": "field_telemetry", "format": "telemetry", "file": "log"}],
    "inspection": {"leakage": False, "swelling": False},
}


def run_demo(console: Console, *, once: bool) -> int:
    """Start a service, grade the samples, verify the record, say how to look further.

    Parameters
    ----------
    console : Console
        Where to print.
    once : bool
        Stop the service then; otherwise it runs until Ctrl-C.

    Returns
    -------
    int
        0 if everything came out as promised, else 1.

    Raises
    ------
    PackGradeError
        If the service does not come up or refuses a sample.
    """
    with _ended_like_ctrl_c(), tempfile.TemporaryDirectory(prefix="packgrade-demo-") as folder:
        begin = time.monotonic()
        _say(console, "Starting a service with the shipped bundle and an empty record …")
        with local_service(Path(folder)) as service:
            _say(console, f"It listens on {service.url} (after {time.monotonic() - begin:.1f} s).")
            replies, broken = _graded(console, service)
            replies.append(_posted_pack(console, service))
            broken += pack_problems(replies[-1])
            broken += _repeated(console, service, replies[0])
            broken += _verified(console, service, replies[-1])
            _say(console, *(f"NOT AS PROMISED  {promise}" for promise in broken), style="bold red")
            _say_how_to_look_further(console, service, replies[0]["decision_id"], once=once)
            if not once:
                _run_until_ctrl_c(console, service)
    return 1 if broken else 0


def _graded(console: Console, service: LocalService) -> tuple[list[dict[str, Any]], list[str]]:
    replies, broken = list[dict[str, Any]](), list[str]()
    for number, battery in enumerate(BATTERIES, start=1):
        reply = service.grade(battery.body(), _key(battery))
        replies.append(reply)
        broken += battery.broken_promises(reply)
        truth = f"simulated with {battery.true_capacity_ah:g} Ah left"
        console.print(decision_panel(reply, f"{number}. {battery.title}; {truth}"))
    return replies, broken


def _posted_pack(console: Console, service: LocalService) -> dict[str, Any]:
    """Post the vehicle's record of a pack as the file it is."""
    file = SAMPLE_FLEET / "telemetry" / f"{FLEET_PACK}.parquet"
    reply = service.grade_file(json.dumps(_PACK_REQUEST).encode(), file, "demo-fleet-pack")
    title = f"{len(BATTERIES) + 1}. a pack of the sample fleet: NMC 150 Ah, its telemetry posted as a file"
    console.print(decision_panel(reply, f"{title}; group 56 is going bad"))
    return reply


def pack_problems(reply: Mapping[str, Any]) -> list[str]:
    """Sentences on a pack of the sample fleet that was graded, or whose weak group was not seen."""
    weak = [each for each in reply["reasons"] if each["code"] == "consistency.weak_cell"]
    named = [each["evidence"].get("cell") for each in weak]
    problems = [] if named == [56] else [f"{FLEET_PACK}: weak group 56 was promised, {named} came."]
    return problems + ([] if reply["outcome"] == "retest" else [f"{FLEET_PACK}: {reply['outcome']} came, not retest."])


def _key(battery: DemoBattery) -> str:
    return f"demo-{battery.sample}"


def _repeated(console: Console, service: LocalService, first: Mapping[str, Any]) -> list[str]:
    """Send the first request again, and read its decision back."""
    again = service.grade(BATTERIES[0].body(), _key(BATTERIES[0]))
    _say(console, "", "The first request again, under its key:")
    _say(console, f"  decision {first['decision_id']}  record {first['recorded']['sequence']}  at first")
    _say(console, f"  decision {again['decision_id']}  record {again['recorded']['sequence']}  now")
    return repetition_problems(first, again, service.decision(first["decision_id"]))


def repetition_problems(first: Mapping[str, Any], again: Mapping[str, Any], read_back: Mapping[str, Any]) -> list[str]:
    """Sentences on a repeated request or a decision read back that differs from the first reply."""
    problems = []
    if again != first:
        problems.append(f"the repeated request got decision {again['decision_id']}, not {first['decision_id']}.")
    if read_back != first:
        problems.append(f"decision {first['decision_id']} is read back otherwise than it was answered.")
    return problems


_ACTIVATIONS = (LeafKind.BUNDLE_ACTIVATED, LeafKind.POLICY_ACTIVATED)
"""What a service records before its first decision."""


def _verified(console: Console, service: LocalService, last: Mapping[str, Any]) -> list[str]:
    receipt = (last["recorded"]["sequence"], last["recorded"]["leaf_sha256"])
    entry_count = len(BATTERIES) + 1 + len(_ACTIVATIONS)
    problems = record_problems(service.record_file, receipt, entry_count)
    if not problems:
        _say(console, "", f"The record verifies: {entry_count} entries, every digest recomputed,")
        _say(console, f"  the last one as the receipt of decision {last['decision_id']} says.")
    return problems


def record_problems(record_file: Path, receipt: tuple[int, str], entry_count: int) -> list[str]:
    """Sentences on what is wrong with a record that should end with a receipt and hold so many entries."""
    report = verify_record(record_file, expected_head=receipt)
    problems = [f"the record does not verify: {each}" for each in report.problems]
    if report.entry_count != entry_count:
        problems.append(f"the record holds {report.entry_count} entries, not {entry_count}.")
    return problems


def _say_how_to_look_further(console: Console, service: LocalService, decision_id: str, *, once: bool) -> None:
    url, record = service.url, service.record_file
    if once:
        url, record, decision_id = "http://127.0.0.1:PORT", Path("RECORD"), "DECISION"
        _say(console, "", "To look further, run `packgrade demo`: it keeps service and record until Ctrl-C. Then:")
    else:
        _say(console, "", "To look further, in another terminal:")
    _say(
        console,
        f"  curl {url}/v1/decisions/{decision_id}",
        f"  curl -H 'Content-Type: application/json' --data @{SAMPLES / 'worn_lfp20_cell.json'} {url}/v1/grade",
        f"  packgrade record show {decision_id} --record {record}",
        f"  packgrade record replay all --record {record}",
        f"  packgrade record verify {record}",
        f"  {url}/docs.json describes the API",
    )


def _run_until_ctrl_c(console: Console, service: LocalService) -> None:
    _say(console, "", f"The service runs on {service.url} until Ctrl-C; then it stops and its record is deleted.")
    with contextlib.suppress(KeyboardInterrupt):
        service.process.wait()
    _say(console, "Stopping.")


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """A demo that is terminated cleans up as one that is interrupted; only a main thread can hear it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(console: Console, *lines: str, style: str = "") -> None:
    for line in lines:
        console.print(Text(line, style=style), highlight=False, soft_wrap=True)
