"""A deterministic world around the record: stations, workers, a disk, a network, a platform and clocks that jump.

Everything that happens follows from one seed. After every step the world holds: what a station was told
stands in the log exactly so, no key stands there twice, and what the platform took is in the log, each
event once and each battery's in the order of the log. At the end, with everything sound again:
acknowledged = logged = delivered.
"""

import asyncio
import math
import random
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from features.errors import PackGradeError
from serving.record.checkpoint import SignerKey, opened_checkpoint
from serving.record.entry import NewEntry, Recorded
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from serving.record.seal import Sealing
from serving.record.verify import verify_record
from serving.trace.delivery_book import DeliveryBook
from serving.trace.dispatcher import Dispatcher, Pace
from serving.trace.schedule import Backoff
from tests.support.record_entries import new_entry
from tests.support.simulated_world_parts import (
    DISK_FAULTS,
    BookInMemory,
    DispatcherCrashed,
    SimulatedDisk,
    SimulatedPlatform,
    as_stored,
)

STATIONS, BATTERIES, WORKERS = 6, 5, 3
CALM = Pace(at_a_time=4, poll_second=0.0, patience_second=0.0, platform_backoff=Backoff(0.0, 0.0))


@dataclass
class Station:
    """One at a time: it asks again until it is answered, and sometimes once more."""

    name: str
    clock_is_off: timedelta
    waiting: NewEntry | None = None
    answered: list[NewEntry] = field(default_factory=list)


@dataclass(frozen=True)
class Outlived:
    """What was compared when a world ended."""

    seed: int
    steps: int
    acknowledged: int
    head: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.steps} steps, {self.acknowledged} acknowledged = logged = delivered"


class SimulatedWorld:
    """One run; see the module.

    Parameters
    ----------
    seed : int
        Everything follows from it.
    key : SignerKey
        The log's key.
    """

    def __init__(self, seed: int, key: SignerKey) -> None:
        self.seed, self._key = seed, key
        self._chance = random.Random(seed)
        self._disk, self._platform = SimulatedDisk(), SimulatedPlatform(self._chance)
        self._shelf = BookInMemory()
        self._book = DeliveryBook(self._shelf)
        self._now = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
        self._stations = [Station(f"station-{n}", timedelta(days=400 * (n - 3))) for n in range(STATIONS)]
        self._workers = [self._worker() for _ in range(WORKERS)]
        self._told: dict[tuple[str, str], Recorded] = {}
        self._number = 0

    def run(self, steps: int, scratch: Path) -> Outlived:
        """Take steps, then make everything sound and compare; returns the figures.

        Raises
        ------
        AssertionError
            Naming the seed and the step.
        """
        acts = (self._ask, self._ask, self._ask, self._ask_together, self._fail, self._restart, self._jump)
        acts += (self._repeat, self._deliver, self._deliver, self._lose_book)
        for step in range(steps):
            act = self._chance.choice(acts)
            act()
            self._require_all_is_well(f"seed {self.seed}, step {step} ({act.__name__})")
        self._settle()
        self._require_everything_arrived(scratch)
        for worker in self._workers:
            worker.close()
        head = max((told.leaf.sequence, told.leaf_sha256) for told in self._told.values()) if self._told else (-1, "")
        return Outlived(self.seed, steps, len(self._told), f"{head[0]}:{head[1]}")

    def _worker(self) -> Ledger:
        return Ledger(self._disk, Sealing(self._key), "0.1.0")

    def _request_of(self, station: Station) -> NewEntry:
        """What a station waits for; a new decision, or a correction of one it got, where it waits for nothing."""
        if station.waiting is None:
            self._number += 1
            body: dict[str, object] = {"number": self._number, "upload_due_on": "2026-12-11"}
            wrong = self._chance.choice(station.answered) if station.answered and self._chance.random() < 0.2 else None
            station.waiting = new_entry(
                self._number,
                kind=LeafKind.DECISION if wrong is None else LeafKind.CORRECTION,
                body=body if wrong is None else body | {"corrects": wrong.event_id},
                battery_id=f"BATTERY{self._chance.randrange(BATTERIES)}" if wrong is None else wrong.battery_id,
                station=station.name,
                recorded_at=self._now + station.clock_is_off,
            )
        return station.waiting

    def _ask(self) -> None:
        """A station asks; its request or its answer may be lost on the way."""
        station = self._chance.choice(self._stations)
        self._send(station, lost=self._chance.choice(("", "", "", "request", "answer")))

    def _fail(self) -> None:
        """A station asks while the disk fails, and the worker may not outlive it."""
        self._disk.fault = self._chance.choice(DISK_FAULTS)
        self._send(self._chance.choice(self._stations))
        self._disk.fault = ""
        if self._chance.random() < 0.5:
            self._restart()

    def _ask_together(self) -> None:
        """Several stations ask in one commit, one of them twice at the same moment."""
        stations = self._chance.sample(self._stations, 3)
        entries = [self._asked_again(self._request_of(station)) for station in stations]
        double = self._asked_again(entries[0])
        answers = self._chance.choice(self._workers).append_many([*entries, double])
        for station, answer in zip([*stations, stations[0]], answers, strict=True):
            assert isinstance(answer, Recorded), f"seed {self.seed}: {answer}"
            self._acknowledge(station, answer)

    def _restart(self) -> None:
        """A worker process ends, whatever it held in mind, and another takes its place."""
        place = self._chance.randrange(WORKERS)
        self._workers[place].close()
        self._workers[place] = self._worker()

    def _jump(self) -> None:
        """Clocks jump by years, back or forth."""
        self._now += timedelta(days=self._chance.choice((-3650, -400, -1, 1, 400, 3650)))
        self._now = min(max(self._now, datetime(1990, 1, 1, tzinfo=UTC)), datetime(2090, 1, 1, tzinfo=UTC))
        self._chance.choice(self._stations).clock_is_off = timedelta(days=self._chance.randrange(-3000, 3000))

    def _repeat(self) -> None:
        """A station sends an old request once more: the answer is what it was, receipt and all."""
        station = self._chance.choice(self._stations)
        if station.answered:
            entry = self._asked_again(self._chance.choice(station.answered))
            self._acknowledge(station, self._chance.choice(self._workers).append(entry))

    def _deliver(self) -> None:
        """The dispatcher runs for a while over a bad network, and may crash before it writes anything down."""
        self._platform.trouble_fraction = self._chance.choice((0.0, 0.2, 0.6))
        self._shelf.crash_after = self._chance.choice((math.inf, math.inf, 0, 1, 2, 3))
        self._carry()
        self._shelf.crash_after = math.inf

    def _lose_book(self) -> None:
        """The delivery book is lost: everything is sent once more."""
        if self._chance.random() < 0.2:
            self._shelf = BookInMemory()
            self._book = DeliveryBook(self._shelf)

    def _carry(self) -> None:
        dispatcher = Dispatcher(
            self._disk,
            self._book,
            self._platform,  # type: ignore[arg-type] - the network is what is simulated
            as_stored,
            clock=lambda: self._now,
            chance=self._chance,
            pace=CALM,
        )
        self._now += timedelta(seconds=self._chance.uniform(0.0, 10_000.0))
        with suppress(DispatcherCrashed):
            asyncio.run(dispatcher.run(asyncio.Event()))

    def _send(self, station: Station, lost: str = "") -> None:
        entry = self._asked_again(self._request_of(station))
        if lost == "request":
            return
        with suppress(PackGradeError):
            recorded = self._chance.choice(self._workers).append(entry)
            if lost != "answer":
                self._acknowledge(station, recorded)

    def _asked_again(self, entry: NewEntry) -> NewEntry:
        """The same request as a worker sees it: under an event id and a moment of its own."""
        fresh = uuid.UUID(int=self._chance.getrandbits(128)).hex
        fields = {name: getattr(entry, name) for name in NewEntry.__dataclass_fields__}
        return NewEntry(**(fields | {"event_id": fresh, "recorded_at": self._now}))

    def _acknowledge(self, station: Station, recorded: Recorded) -> None:
        leaf = recorded.leaf
        earlier = self._told.setdefault((leaf.station, leaf.idempotency_key), recorded)
        same = (earlier.leaf, earlier.leaf_sha256, earlier.receipt) == (leaf, recorded.leaf_sha256, recorded.receipt)
        assert same, f"seed {self.seed}: {leaf.idempotency_key} was answered twice, and differently"
        assert recorded.receipt is not None
        assert recorded.receipt.proves([self._key.verifier], leaf), f"seed {self.seed}: a receipt proves nothing"
        if station.waiting is not None and station.waiting.idempotency_key == leaf.idempotency_key:
            station.answered.append(station.waiting)
            station.waiting = None

    def _require_all_is_well(self, moment: str) -> None:
        logged = self._disk.places()
        assert len(logged) == self._disk.count(), f"{moment}: a key stands in the log twice"
        for asked, told in self._told.items():
            place = (told.leaf.event_id, told.leaf.sequence, told.leaf_sha256)
            assert logged.get(asked) == place, f"{moment}: what {asked} was told is not what is logged"
        events = {event_id for event_id, *_ in logged.values()}
        taken = [leaf.event_id for leaf in self._platform.taken]
        assert len(taken) == len(set(taken)), f"{moment}: an event was delivered twice"
        assert events.issuperset(taken), f"{moment}: an event was delivered and is not logged"
        for number in range(BATTERIES):
            order = [leaf.sequence for leaf in self._platform.taken if leaf.battery_id == f"BATTERY{number}"]
            assert order == sorted(order), f"{moment}: BATTERY{number} was delivered out of order"

    def _settle(self) -> None:
        """Everything is sound again: every station is answered and everything is carried."""
        for station in self._stations:
            if station.waiting is not None:
                self._send(station)
        self._platform.trouble_fraction = 0.0
        self._now += timedelta(days=3)
        for _ in range(3):
            self._carry()
            self._now += timedelta(days=3)

    def _require_everything_arrived(self, scratch: Path) -> None:
        logged = self._disk.places()
        taken = sorted(leaf.sequence for leaf in self._platform.taken)
        assert self._told.keys() == logged.keys(), f"seed {self.seed}: logged and acknowledged differ"
        assert taken == list(range(len(logged))), f"seed {self.seed}: logged and delivered differ"
        if not logged:
            return
        path = scratch / f"world-{self.seed}.sqlite"
        self._disk.save(path)
        keys = [self._key.verifier]
        receipts = [told.receipt for told in self._told.values() if told.receipt is not None]
        kept = {receipt.checkpoint: opened_checkpoint(receipt.checkpoint, keys) for receipt in receipts}
        report = verify_record(path, checkpoints=list(kept.values()), keys=keys)
        assert report.is_intact, f"seed {self.seed}: {report.problems[0]}"
        path.unlink()
