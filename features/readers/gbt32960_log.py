"""A file of GB/T 32960.3 frames, decoded and sorted by vehicle.

Frames of the same vehicle, edition, command and length are collected and decoded together as columns.
The vehicle's number is forgotten when the file has been read; vehicles are numbered as they appear.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.errors import UnreadableFile
from features.readers.gbt32960_frames import Frame, FrameCounts
from features.readers.gbt32960_layout import Layout, layout_of
from features.readers.gbt32960_login import pack_codes
from features.readers.gbt32960_samples import Bytes, ReportCounts, Samples, decoded_samples
from features.readers.gbt32960_source import frames_of
from features.readers.gbt32960_tables import COMMAND_MARK, EDITIONS, NOT_ENCRYPTED, Command
from features.readers.vehicle_export import LARGEST_ROW_COUNT

LARGEST_LAYOUT_COUNT = 4096
"""A vehicle has a few dozen: its blocks and counts hardly change."""
_BATCH_FRAMES = 20_000
_BATCH_BYTES = 16 << 20


@dataclass
class VehicleLog:
    """What one vehicle reported.

    Attributes
    ----------
    samples : list of Samples
        Decoded reports, in order of arrival.
    logins : Counter of tuple of str
        Battery codes named at login, and how often.
    counts : ReportCounts
        What was left out of the reports.
    """

    samples: list[Samples] = field(default_factory=list)
    logins: Counter[tuple[str, ...]] = field(default_factory=Counter)
    counts: ReportCounts = field(default_factory=ReportCounts)

    @property
    def pack_codes(self) -> tuple[str, ...]:
        """Every battery code named, in order of first appearance."""
        return tuple(dict.fromkeys(code for codes in self.logins for code in codes))


@dataclass
class FrameLog:
    """A decoded file: its vehicles, without their numbers, and what was counted."""

    vehicles: list[VehicleLog]
    counts: FrameCounts


def decode_frames(path: Path) -> FrameLog:
    """Decode every readable frame of a file.

    Parameters
    ----------
    path : Path
        Binary frames, or text with one frame per line in hexadecimal.

    Raises
    ------
    UnreadableFile
        If the file cannot be read or is larger than a log can be. Single damaged frames are counted.
    """
    counts = FrameCounts()
    batch = _Batch(path.name, counts)
    for frame in frames_of(path, counts):
        batch.add(frame)
    batch.decode()
    return FrameLog(batch.vehicles, counts)


_Key = tuple[int, bytes, int, int]


@dataclass
class _Batch:
    """Report frames waiting to be decoded together."""

    file_name: str
    counts: FrameCounts
    vehicles: list[VehicleLog] = field(default_factory=list)
    number_of: dict[bytes, int] = field(default_factory=dict)
    waiting: defaultdict[_Key, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    layouts: defaultdict[tuple[bytes, int], list[Layout]] = field(default_factory=lambda: defaultdict(list))
    report_count: int = 0
    layout_count: int = 0
    waiting_frames: int = 0
    waiting_bytes: int = 0

    def add(self, frame: Frame) -> None:
        if frame.answer != COMMAND_MARK:
            self.counts.replies += 1
        elif frame.command not in (Command.REALTIME, Command.REISSUE, Command.LOGIN):
            return
        elif frame.encryption != NOT_ENCRYPTED:
            self.counts.encrypted += 1
        elif frame.command == Command.LOGIN:
            self._login(frame)
        else:
            self.waiting[self._vehicle(frame), frame.marker, frame.command, len(frame.body)].append(frame.body)
            self.waiting_frames += 1
            self.waiting_bytes += len(frame.body)
            if self.waiting_frames >= _BATCH_FRAMES or self.waiting_bytes >= _BATCH_BYTES:
                self.decode()

    def _vehicle(self, frame: Frame) -> int:
        number = self.number_of.setdefault(frame.vin, len(self.vehicles))
        if number == len(self.vehicles):
            self.vehicles.append(VehicleLog())
        return number

    def _login(self, frame: Frame) -> None:
        codes = pack_codes(frame.body, EDITIONS[frame.marker], frame.vin)
        if codes is None:
            self.counts.malformed += 1
        elif codes:
            self.vehicles[self._vehicle(frame)].logins[codes] += 1

    def decode(self) -> None:
        """Decode what waits."""
        self.report_count += self.waiting_frames
        if self.report_count > LARGEST_ROW_COUNT:
            raise UnreadableFile(self.file_name, f"at most {LARGEST_ROW_COUNT} reports are read")
        for (number, marker, command, length), bodies in self.waiting.items():
            vehicle = self.vehicles[number]
            table = np.frombuffer(b"".join(bodies), dtype=np.uint8).reshape(len(bodies), length)
            for layout, chosen in self._by_layout(table, marker):
                samples = decoded_samples(chosen, layout, vehicle.counts, reissued=command == Command.REISSUE)
                if samples is not None:
                    vehicle.samples.append(samples)
        self.waiting.clear()
        self.waiting_frames = self.waiting_bytes = 0

    def _by_layout(self, bodies: Bytes, marker: bytes) -> Iterator[tuple[Layout, Bytes]]:
        known = self.layouts[marker, bodies.shape[1]]
        for layout in known:
            same = layout.fits(bodies)
            if same.any():
                yield layout, bodies[same]
                bodies = bodies[~same]
            if not len(bodies):
                return
        while len(bodies):
            found = layout_of(bodies[0].tobytes(), EDITIONS[marker])
            if found is None:
                self.counts.malformed += 1
                bodies = bodies[1:]
                continue
            self._remember(known, found)
            same = found.fits(bodies)
            yield found, bodies[same]
            bodies = bodies[~same]

    def _remember(self, known: list[Layout], layout: Layout) -> None:
        self.layout_count += 1
        if self.layout_count > LARGEST_LAYOUT_COUNT:
            rule = f"holds more than {LARGEST_LAYOUT_COUNT} kinds of report; this is no log of vehicles"
            raise UnreadableFile(self.file_name, rule)
        known.append(layout)
