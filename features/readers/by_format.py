"""The one door from a file to a measurement run, whatever the file's format.

A format word picks the reader; everything behind the door is the same: the file's digest is taken, its
moment of availability is kept, and all rules of a run hold. A canonical table is named by the digest of
its content (one for CSV, Parquet and JSON of one table), every other source by the digest of its bytes.
Paths are those of a local user; only the file's name, never its folder, goes into a run.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from features.errors import InvalidInput, Problem, UnreadableFile
from features.measurement import MeasurementRun, SourceStamp
from features.readers.canonical import CanonicalFile
from features.readers.canonical_rows import ReadingCaps
from features.readers.reading import Reading
from features.vocabulary import Provenance, RunKind, TableFormat

_BLOCK_BYTES = 2**20
_MOST_OPEN_FILES = 4


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is to be read from where.

    Attributes
    ----------
    kind : RunKind
        Test that is asked for.
    run_format : str
        Format word.
    path : Path
        The file.
    battery_id : str or None
        Battery to take from a file of many.
    mapping : Path or None
        Vehicle mapping; ``bms`` needs one.
    """

    kind: RunKind
    run_format: str
    path: Path
    battery_id: str | None = None
    mapping: Path | None = None


@dataclass
class _OpenFile:
    state: tuple[int, int]
    sha256: str = ""
    tables: dict[TableFormat, CanonicalFile] = field(default_factory=dict)


@dataclass
class OpenFiles:
    """The few files that were read last, kept open for the next battery in them.

    A job that grades the thousand batteries of one file parses it once, also where every battery
    has its pulses in one file and its capacity test in another.

    Attributes
    ----------
    caps : ReadingCaps
        Limits of canonical files.
    """

    caps: ReadingCaps = field(default_factory=ReadingCaps)
    _files: OrderedDict[Path, _OpenFile] = field(default_factory=OrderedDict)

    def sha256(self, path: Path) -> str:
        """Digest of the file's bytes.

        Raises
        ------
        UnreadableFile
            If the file is missing, a folder or not readable.
        """
        opened = self._opened(path)
        if not opened.sha256:
            try:
                opened.sha256 = _file_sha256(path)
            except OSError as error:
                raise UnreadableFile(path.name, "the file cannot be opened", error.strerror or "") from error
        return opened.sha256

    def canonical(self, path: Path, table_format: TableFormat) -> CanonicalFile:
        """Open a canonical file, or hand on the one that is open.

        Raises
        ------
        InvalidInput
            See `CanonicalFile`.
        """
        tables = self._opened(path).tables
        if table_format not in tables:
            tables[table_format] = CanonicalFile(path, table_format, self.caps)
        return tables[table_format]

    def _opened(self, path: Path) -> _OpenFile:
        if not path.is_file():
            raise UnreadableFile(path.name, "there is no such file")
        place, status = path.absolute(), path.stat()
        state = (status.st_mtime_ns, status.st_size)
        opened = self._files.get(place)
        if opened is None or opened.state != state:
            opened = self._files[place] = _OpenFile(state)
        self._files.move_to_end(place)
        while len(self._files) > _MOST_OPEN_FILES:
            self._files.popitem(last=False)
        return opened


def read_run(
    *,
    kind: RunKind,
    run_format: str,
    path: Path,
    available_at: datetime,
    battery_id: str | None = None,
    started_at: datetime | None = None,
    train: int | None = None,
    provenance: Provenance | None = None,
    mapping: Path | None = None,
    files: OpenFiles | None = None,
) -> MeasurementRun:
    """Read one run from a file.

    Parameters
    ----------
    kind : RunKind
        Which test it is; only that part of the file may be read.
    run_format : str
        ``timeseries``, ``step_table``, ``spectrum``, ``telemetry``, ``nebula``, ``bms``, ``gbt32960`` or
        one of `TESTER_WORDS`.
    path : Path
        The file.
    available_at : datetime
        When the file could be known; aware.
    battery_id : str, optional
        Battery to take where a canonical file holds many.
    started_at : datetime, optional
        When the test began. Without it the source's own statement counts, else `available_at`.
    train : int, optional
        Which pulse train is meant, counted from 1.
    provenance : Provenance, optional
        Who vouches for the numbers; telemetry is the vehicle's word, everything else the bench's.
    mapping : Path, optional
        Vehicle mapping, for ``bms`` only.
    files : OpenFiles, optional
        Shared by calls that read many batteries from one file.

    Raises
    ------
    InvalidInput
        For an unknown format, a format that does not fit the kind, a missing or superfluous mapping, a
        file that cannot be read, and every rule of `MeasurementRun`.
    """
    files = files or OpenFiles()
    request = RunRequest(kind, run_format, path, battery_id, mapping)
    reader = _reader(request)
    bytes_sha256 = None if run_format in set(TableFormat) else files.sha256(path)
    reading = reader(request, files)
    return MeasurementRun(
        kind=kind,
        started_at=started_at or reading.started_at or available_at,
        available_at=available_at,
        source=SourceStamp(
            path.name, bytes_sha256 or reading.table.sha256, run_format, provenance or _usual_provenance(kind)
        ),
        table=reading.table,
        train=train,
        findings=reading.findings,
    )


def _canonical(request: RunRequest, files: OpenFiles) -> Reading:
    return files.canonical(request.path, TableFormat(request.run_format)).reading(request.battery_id)


def _nebula(request: RunRequest, files: OpenFiles) -> Reading:
    from features.readers.nebula import read_nebula  # noqa: PLC0415 - openpyxl is loaded when needed

    return read_nebula(request.path, request.kind)


def _bms(request: RunRequest, files: OpenFiles) -> Reading:
    from features.readers.bms_telemetry import read_bms_telemetry  # noqa: PLC0415 - loaded when needed
    from features.readers.vehicle_mapping import load_vehicle_mapping  # noqa: PLC0415 - loaded when needed

    if request.mapping is None:
        problem = Problem("mapping", "a bms export needs a vehicle mapping that names its columns and units")
        raise InvalidInput(f"{request.path.name} was not read. Nothing was graded.", [problem])
    return read_bms_telemetry(request.path, load_vehicle_mapping(request.mapping))


def _gbt32960(request: RunRequest, files: OpenFiles) -> Reading:
    from features.readers.gbt32960 import read_gbt32960  # noqa: PLC0415 - loaded when needed

    return read_gbt32960(request.path, request.battery_id)


def _tester(request: RunRequest, files: OpenFiles) -> Reading:
    from features.readers.testers import read_tester  # noqa: PLC0415 - loaded when needed

    return read_tester(request.path, request.run_format)


TESTER_WORDS = (
    *("neware", "arbin", "maccor", "landt", "pec"),
    *("novonix", "basytec", "biologic", "bdf", "batteryarchive"),
)
"""Format words of bench testers' own files."""

_READERS: dict[str, Callable[[RunRequest, OpenFiles], Reading]] = {
    **{table_format.value: _canonical for table_format in TableFormat},
    "nebula": _nebula,
    "bms": _bms,
    "gbt32960": _gbt32960,
    **dict.fromkeys(TESTER_WORDS, _tester),
}

RUN_FORMATS = tuple(_READERS)
"""Every format word, in the order of the documentation."""


def _reader(request: RunRequest) -> Callable[[RunRequest, OpenFiles], Reading]:
    reader = _READERS.get(request.run_format)
    if reader is None:
        problem = Problem("format", f"must be one of {', '.join(RUN_FORMATS)}", f"{request.run_format!r:.40}")
        raise InvalidInput(f"{request.path.name} was not read. Nothing was graded.", [problem])
    if request.mapping is not None and request.run_format != "bms":
        problem = Problem("mapping", "belongs to format bms alone", request.mapping.name)
        raise InvalidInput(f"{request.path.name} was not read. Nothing was graded.", [problem])
    return reader


def _usual_provenance(kind: RunKind) -> Provenance:
    return Provenance.BMS_REPORTED if kind is RunKind.FIELD_TELEMETRY else Provenance.BENCH_MEASURED


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
