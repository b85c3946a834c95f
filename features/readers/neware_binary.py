"""Neware ``nda`` and ``ndax`` files, plain or as the one member of a zip archive.

The binary records are decoded by the BSD-licensed ``fastnda`` (extra ``neware``); archives are measured
before anything is unpacked, members are read by name into memory and never written under a name the
archive chose. Current is signed as the tester writes it; the step's type confirms it.
"""

import logging
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import InvalidInput, UnreadableFile
from features.findings import Finding, Message, Severity
from features.measurement import FloatArray
from features.readers.canonical_rows import ReadingCaps
from features.readers.reading import Reading
from features.readers.tester_columns import Moments
from features.readers.tester_formats import NEWARE_TABLE
from features.readers.tester_series import TesterSeries, series_reading
from features.readers.xlsx_sheets import LARGEST_PACKING_RATIO, LARGEST_UNPACKED_BYTE

NDA_SIGNATURE = b"NEWARE"
ZIP_SIGNATURE = b"PK\x03\x04"

_MOST_MEMBERS = 1000


def is_neware_binary(start: bytes) -> bool:
    """Whether a file begins as a nda file or a zip archive (ndax, zipped nda)."""
    return start.startswith((NDA_SIGNATURE, ZIP_SIGNATURE))


def read_neware_binary(path: Path, caps: ReadingCaps | None = None) -> Reading:
    """Read a Neware nda, ndax, or a zip archive that holds one of them.

    Parameters
    ----------
    path : Path
        The file; what it is is read from its content, not its name.
    caps : ReadingCaps, optional
        Limits.

    Raises
    ------
    UnreadableFile
        If the file is damaged, unpacks to more than allowed, holds several tests or none, or breaks a rule
        of `series_reading`.
    InvalidInput
        If the extra ``neware`` is not installed.
    """
    caps = caps or ReadingCaps()
    size = path.stat().st_size
    if size > caps.file_bytes:
        raise UnreadableFile(path.name, f"larger than {caps.file_bytes / 2**20:g} MiB; split the file", f"{size} bytes")
    with tempfile.TemporaryDirectory() as folder:
        records, noticed = _decoded(path, Path(folder), caps)
    series = _series(path.name, records)
    return series_reading(path.name, series, noticed)


def archive_members(path: Path) -> list[str]:
    """Names of the members of a zip archive, once its size unpacked is known to be allowed.

    Raises
    ------
    UnreadableFile
        If the archive is damaged, encrypted or a packing bomb.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as fault:
        raise UnreadableFile(path.name, "the archive is damaged or cut off", str(fault)[:120]) from fault
    unpacked = sum(member.file_size for member in members)
    packed = max(sum(member.compress_size for member in members), 1)
    if len(members) > _MOST_MEMBERS or unpacked > LARGEST_UNPACKED_BYTE:
        rule = f"an archive may hold {_MOST_MEMBERS} members and unpack to {LARGEST_UNPACKED_BYTE / 1e6:g} MB"
        raise UnreadableFile(path.name, rule, f"{len(members)} members, {unpacked / 1e6:.0f} MB")
    if unpacked > LARGEST_PACKING_RATIO * packed:
        rule = f"an archive may be packed at most {LARGEST_PACKING_RATIO:g} to 1"
        raise UnreadableFile(path.name, rule, f"{unpacked / packed:.0f} to 1")
    if any(member.flag_bits & 0x1 for member in members):
        raise UnreadableFile(path.name, "the archive is encrypted")
    return [member.filename for member in members]


def _decoded(path: Path, folder: Path, caps: ReadingCaps) -> tuple[Any, tuple[Finding, ...]]:
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(NDA_SIGNATURE):
        return _records(path.name, _copied(path.read_bytes(), folder, ".nda"))
    if not start.startswith(ZIP_SIGNATURE):
        raise UnreadableFile(path.name, "is no Neware nda or ndax file (or is cut off)", repr(start))
    names = archive_members(path)
    if "data.ndc" in names:
        return _records(path.name, _copied(path.read_bytes(), folder, ".ndax"))
    tests = [name for name in names if name.lower().endswith((".nda", ".ndax")) and not name.startswith("__MACOSX/")]
    if len(tests) != 1:
        rule = "a zip archive must be an ndax file, or hold one nda or ndax file"
        raise UnreadableFile(path.name, rule, f"{len(tests)} of {len(names)} members")
    return _of_member(path, tests[0], folder, caps)


def _of_member(path: Path, name: str, folder: Path, caps: ReadingCaps) -> tuple[Any, tuple[Finding, ...]]:
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(name)
    except Exception as fault:  # the inflating library has errors of its own
        raise UnreadableFile(path.name, "the archive is damaged", str(fault)[:120]) from fault
    if len(content) > caps.file_bytes:
        raise UnreadableFile(path.name, f"its member is larger than {caps.file_bytes / 2**20:g} MiB", f"{len(content)}")
    if content.startswith(NDA_SIGNATURE):
        return _records(path.name, _copied(content, folder, ".nda"))
    inner = _copied(content, folder, ".ndax")
    if not content.startswith(ZIP_SIGNATURE) or "data.ndc" not in archive_members(inner):
        raise UnreadableFile(path.name, "its member is no Neware nda or ndax file", repr(content[:8]))
    return _records(path.name, inner)


def _copied(content: bytes, folder: Path, ending: str) -> Path:
    copy = folder / f"record{ending}"
    copy.write_bytes(content)
    return copy


def _records(file_name: str, path: Path) -> tuple[Any, tuple[Finding, ...]]:
    """Decode the records; the file's version not being verified is a finding."""
    try:
        import fastnda  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415 - an extra, loaded when needed
    except ImportError as fault:
        message = (
            f"{file_name} is a Neware binary file; reading it needs the extra packgrade[neware]. Nothing was read."
        )
        raise InvalidInput(message, code="EXTRA_MISSING") from fault
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught, _listening(said):
        warnings.simplefilter("always")
        try:
            records = fastnda.read(path)
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as fault:  # the decoder's native part raises outside Exception on damaged files
            rule = "the Neware records are damaged, cut off, or of a version that cannot be read"
            value = f"{type(fault).__name__}: {fault}".replace(str(path), file_name)[:160]
            raise UnreadableFile(file_name, rule, value) from fault
    if len(records) == 0:
        raise UnreadableFile(file_name, "the file holds no record")
    return records, tuple(_doubt_finding(each) for each in dict.fromkeys([*said, *(str(w.message) for w in caught)]))


@contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Collect what the decoder says of the file instead of printing it."""

    class _Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log, kept = logging.getLogger("fastnda"), _Kept(logging.WARNING)
    before = log.propagate
    log.addHandler(kept)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(kept)
        log.propagate = before


def _doubt_finding(said: str) -> Finding:
    return Finding(
        "tester.decoder_doubts",
        Severity.CAUTION,
        Message(f"The decoder is not sure of this file: {said[:200]}", f"解码器对该文件存疑：{said[:200]}"),
        {"said": said[:200]},
    )


def _series(file_name: str, records: Any) -> TesterSeries:
    def floats(name: str) -> FloatArray | None:
        return np.array(records[name].to_numpy(), dtype=np.float64) if name in records.columns else None

    missing = [name for name in ("voltage_V", "current_mA", "total_time_s") if name not in records.columns]
    if missing:
        raise UnreadableFile(file_name, "the records lack a column", ", ".join(missing))
    celsius = next(
        (name for name in records.columns if name.startswith("aux") and name.endswith("temperature_degC")), ""
    )
    milliampere, volt = floats("current_mA"), floats("voltage_V")
    assert milliampere is not None
    assert volt is not None
    return TesterSeries(
        voltage_volt=volt,
        current_ampere=milliampere / 1000.0,
        test_second=floats("total_time_s"),
        step_second=floats("step_time_s"),
        clock=_clock(floats("unix_time_s")),
        celsius=floats(celsius),
        step=floats("step_count"),
        direction=_direction(records),
        counted_steps=True,
        record=floats("index"),
    )


def _clock(unix_second: FloatArray | None) -> Moments | None:
    """The tester's clock in its local time: the file stores no zone."""
    if unix_second is None or not np.isfinite(unix_second).any():
        return None
    micro = np.round(np.where(np.isfinite(unix_second), unix_second, 0.0) * 1e6).astype(np.int64)
    stamps = np.where(np.isfinite(unix_second), micro.astype("datetime64[us]"), np.datetime64("NaT"))
    return Moments(stamps, has_zone=False)


def _direction(records: Any) -> FloatArray:
    words = [str(word).lower() for word in records["step_type"].cast(str).to_list()]
    of_word = {word: _sign(word) for word in set(words)}
    return np.array([of_word[word] for word in words])


def _sign(word: str) -> float:
    if any(part in word for part in NEWARE_TABLE.discharge_words):
        return -1.0
    return 1.0 if any(part in word for part in NEWARE_TABLE.charge_words) else 0.0
