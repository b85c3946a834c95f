"""A tester's table, text or Parquet, read by the headings of a declared format.

`TesterFormat` says which headings mean what, which units the vendor's manual gives where a heading
names none, and which state words charge. Everything else is the same for all of them. Nothing is
guessed: a file without the headings is refused, and told what it is by `inspection`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import UnreadableFile
from features.findings import Finding, Message, Severity
from features.measurement import FloatArray
from features.readers.canonical_rows import ReadingCaps
from features.readers.reading import Reading
from features.readers.tester_columns import Moments, durations, moments, numbers, uses_decimal_comma
from features.readers.tester_headings import UNIT_FACTORS, Heading, Sought, column_of, factor, heading
from features.readers.tester_series import TesterSeries, series_reading
from features.readers.tester_text import TextCells, text_cells, text_layout

LONGEST_WORD = 64
"""No state and no date is longer."""

PARQUET_SIGNATURE = b"PAR1"

_CELSIUS_OFFSETS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "k": lambda kelvin: kelvin - 273.15,
    "f": lambda fahrenheit: (fahrenheit - 32.0) / 1.8,
    "°f": lambda fahrenheit: (fahrenheit - 32.0) / 1.8,
}
_TIMES = ("test_time", "step_time", "moment")
_SAME_UNIT_TOLERANCE = 0.02


@dataclass(frozen=True)
class TesterFormat:
    """How one vendor's tables are written.

    Attributes
    ----------
    word : str
        Format word of the product.
    title : str
        What a person calls it.
    columns : mapping of str to Sought
        Headings by meaning: ``test_time``, ``step_time``, ``moment``, ``voltage``, ``current``,
        ``temperature``, ``ambient``, ``step``, ``cycle``, ``state``, ``channel``, ``record``, ``frequency``.
    charge_words, discharge_words : tuple of str
        Begin of a state, lower case, in which the tester charges or discharges.
    counted_steps : bool
        Whether ``step`` counts on over the whole test.
    marks, foreign : tuple of str
        Keys of which one must, and none may, be among the headings: what tells the vendor from another one.
    label_pattern : str
        Regular expression for the written headings of voltage and current, where a format fixes them.
    """

    word: str
    title: str
    columns: Mapping[str, Sought]
    charge_words: tuple[str, ...] = ()
    discharge_words: tuple[str, ...] = ()
    counted_steps: bool = False
    marks: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    label_pattern: str = ".*"

    def places(self, labels: Sequence[str]) -> dict[str, int]:
        """Place of the column by meaning."""
        headings = [heading(label) for label in labels]
        found = {meaning: column_of(headings, sought) for meaning, sought in self.columns.items()}
        return {meaning: place for meaning, place in found.items() if place is not None}

    def recognises(self, labels: Sequence[str]) -> bool:
        """Whether these are the headings of the format."""
        places = self.places(labels)
        if not {"voltage", "current"} <= places.keys() or not any(each in places for each in _TIMES):
            return False
        keys = {heading(label).key for label in labels}
        fixed = all(re.fullmatch(self.label_pattern, labels[places[each]]) for each in ("voltage", "current"))
        return fixed and (not self.marks or not keys.isdisjoint(self.marks)) and keys.isdisjoint(self.foreign)


@dataclass
class _Table:
    """The wanted columns of a file, and their headings."""

    file_name: str
    source: TesterFormat
    cells: dict[str, pa.ChunkedArray]
    headings: dict[str, Heading]
    labels: dict[str, str]
    decimal_comma: bool = False
    findings: list[Finding] = field(default_factory=list)

    def refuse(self, meaning: str, rule: str, value: str = "") -> UnreadableFile:
        return UnreadableFile(self.file_name, rule, value, f"column {self.labels[meaning]!r}")

    def factor(self, meaning: str) -> float:
        found = factor(self.headings[meaning], self.source.columns[meaning])
        if found is None:
            units = ", ".join(UNIT_FACTORS[self.source.columns[meaning].quantity])
            raise self.refuse(meaning, f"the heading must name a unit ({units})", self.labels[meaning])
        return found

    def numbers(self, meaning: str) -> FloatArray | None:
        if meaning not in self.cells:
            return None
        try:
            return numbers(self.cells[meaning], self.decimal_comma)
        except ValueError as fault:
            raise self.refuse(meaning, str(fault)) from fault

    def seconds(self, meaning: str, unit_second: float) -> FloatArray | None:
        if meaning not in self.cells:
            return None
        try:
            return durations(self.cells[meaning], unit_second, self.decimal_comma)
        except ValueError as fault:
            raise self.refuse(meaning, str(fault)) from fault


def read_tester_table(path: Path, source: TesterFormat, caps: ReadingCaps | None = None) -> Reading:
    """Read a vendor's table (text, or Parquet with the same headings) as a canonical timeseries.

    Parameters
    ----------
    path : Path
        The file.
    source : TesterFormat
        The declared format.
    caps : ReadingCaps, optional
        Limits.

    Raises
    ------
    UnreadableFile
        If the file has not the headings of the format, a unit is not named, a cell is no number, a cap is
        exceeded, or a rule of `series_reading` is broken.
    """
    caps = caps or ReadingCaps()
    with path.open("rb") if path.is_file() else _absent(path) as stream:
        is_parquet = stream.read(4) == PARQUET_SIGNATURE
    table = _parquet_table(path, source, caps) if is_parquet else _text_table(path, source, caps)
    return series_reading(path.name, _series(table), tuple(table.findings))


def _absent(path: Path) -> "pa.NativeFile":
    raise UnreadableFile(path.name, "there is no such file")


def _text_table(path: Path, source: TesterFormat, caps: ReadingCaps) -> _Table:
    layout = text_layout(path, source.recognises)
    if layout is None:
        raise _wrong_kind(path.name, source)
    places = source.places(layout.labels)
    read = text_cells(path, layout, places, caps)
    table = _Table(path.name, source, read.columns, *_named(layout.labels, places))
    table.decimal_comma = layout.separator != "," and uses_decimal_comma(
        [
            cells
            for meaning, cells in read.columns.items()
            if meaning in ("voltage", "current", "test_time", "temperature")
        ]
    )
    table.findings += _uneven_findings(read)
    return table


def _parquet_table(path: Path, source: TesterFormat, caps: ReadingCaps) -> _Table:
    try:
        # A repeated word is kept once: long words cannot grow with the number of rows.
        words = [field.name for field in pq.read_schema(path) if pa.types.is_string(field.type)]
        with pq.ParquetFile(path, read_dictionary=words, page_checksum_verification=True) as file:
            labels = list(file.schema_arrow.names)
            if not source.recognises(labels):
                raise _wrong_kind(path.name, source)
            places = source.places(labels)
            caps.check_rows(path.name, file.metadata.num_rows, len(places))
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            if sum(group.total_byte_size for group in groups) > caps.decoded_bytes:
                rule = f"the table needs more than {caps.decoded_bytes / 2**20:g} MiB in memory; split the file"
                raise UnreadableFile(path.name, rule)
            read = file.read([labels[place] for place in places.values()], use_threads=False)
    except (pa.ArrowException, OSError, UnicodeError) as fault:
        raise UnreadableFile(path.name, "is not a whole Parquet file", str(fault)[:200]) from fault
    if read.num_rows == 0:
        raise UnreadableFile(path.name, "the table must have at least one row")
    cells = {meaning: _plain(path.name, read.column(labels[place])) for meaning, place in places.items()}
    return _Table(path.name, source, cells, *_named(labels, places))


def _plain(file_name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Column without its dictionary, whose words must be short."""
    if not pa.types.is_dictionary(column.type):
        return column
    longest = max((len(str(word)) for chunk in column.chunks for word in chunk.dictionary.to_pylist()), default=0)
    if longest > LONGEST_WORD:
        raise UnreadableFile(file_name, f"a word may have {LONGEST_WORD} characters", f"{longest}")
    return column.cast(column.type.value_type)


def _named(labels: Sequence[str], places: Mapping[str, int]) -> tuple[dict[str, Heading], dict[str, str]]:
    named = {meaning: labels[place] for meaning, place in places.items()}
    return {meaning: heading(label) for meaning, label in named.items()}, named


def _wrong_kind(file_name: str, source: TesterFormat) -> UnreadableFile:
    wanted = "; ".join(
        f"{meaning}: {', '.join(source.columns[meaning].keys[:4])}"
        for meaning in ("test_time", "voltage", "current")
        if meaning in source.columns
    )
    rule = f"no row holds the headings of {source.title} ({wanted}); packgrade inspect says what the file is"
    return UnreadableFile(file_name, rule)


def _series(table: _Table) -> TesterSeries:
    _refuse_several_channels(table)
    voltage, current = table.numbers("voltage"), table.numbers("current")
    assert voltage is not None
    assert current is not None
    test_second, clock = _times(table)
    step = _step_numbers(table)
    return TesterSeries(
        voltage_volt=voltage * table.factor("voltage"),
        current_ampere=current * table.factor("current"),
        test_second=test_second,
        step_second=_step_seconds(table, test_second),
        clock=clock,
        celsius=_celsius(table),
        step=step,
        cycle=table.numbers("cycle"),
        direction=_direction(table),
        counted_steps=table.source.counted_steps and step is not None,
        record=table.numbers("record"),
        frequency_hertz=table.numbers("frequency"),
    )


def _refuse_several_channels(table: _Table) -> None:
    if "channel" not in table.cells:
        return
    channels = [str(each) for each in pc.unique(table.cells["channel"]).to_pylist() if each not in (None, "")]
    if len(channels) > 1:
        rule = "a file of several cells must be split, one file per cell"
        raise table.refuse("channel", rule, ", ".join(channels[:5]))


def _times(table: _Table) -> tuple[FloatArray | None, Moments | None]:
    """Test time and clock; a time column full of dates is a clock."""
    if "test_time" in table.cells and _holds_dates(table.cells["test_time"]):
        table.cells["moment"] = table.cells.pop("test_time")
        table.labels["moment"] = table.labels.pop("test_time")
    written = table.seconds("test_time", 1.0)
    clock = moments(table.cells["moment"], written) if "moment" in table.cells else None
    if written is not None and not _clock_text(table):
        named = factor(table.headings["test_time"], table.source.columns["test_time"])
        written = written * (_unit_by_clock(table, written, clock) if named is None else named)
    if written is None and "step_time" not in table.cells and clock is None:
        raise table.refuse("moment", "must hold dates with time; the file has no other time")
    return written, clock


def _step_seconds(table: _Table, test_second: FloatArray | None) -> FloatArray | None:
    """Time since the step began; one whose heading names no unit is not needed beside a test time."""
    if "step_time" not in table.cells:
        return None
    if _clock_text(table, "step_time"):
        return table.seconds("step_time", 1.0)
    if test_second is not None and factor(table.headings["step_time"], table.source.columns["step_time"]) is None:
        return None
    return table.seconds("step_time", table.factor("step_time"))


def _holds_dates(cells: pa.ChunkedArray) -> bool:
    if pa.types.is_timestamp(cells.type):
        return True
    return bool(
        pa.types.is_string(cells.type) and pc.any(pc.match_substring_regex(cells, r"\d[-/.]\d+[-/.]\d+.*:")).as_py()
    )


def _clock_text(table: _Table, meaning: str = "test_time") -> bool:
    cells = table.cells[meaning]
    return bool(pa.types.is_string(cells.type) and pc.any(pc.match_substring(cells, ":")).as_py())


def _unit_by_clock(table: _Table, written: FloatArray, clock: Moments | None) -> float:
    """Unit of a test time whose heading names none, by the tester's clock. [s]."""
    passed = np.nan if clock is None else float(np.nanmax(clock.seconds) - clock.seconds[0])
    counted = float(np.nanmax(written) - written[0])
    for unit, second in (("s", 1.0), ("min", 60.0), ("h", 3600.0)):
        if counted > 0.0 and abs(passed - counted * second) <= max(2.0, _SAME_UNIT_TOLERANCE * passed):
            table.findings.append(_unit_finding(table.labels["test_time"], unit))
            return second
    raise table.refuse("test_time", "the heading names no unit and the tester's clock does not tell it")


def _unit_finding(label: str, unit: str) -> Finding:
    return Finding(
        "tester.time_unit_by_clock",
        Severity.NOTE,
        Message(
            f"The heading {label!r} names no unit; by the tester's clock it counts in {unit}.",
            f"表头“{label}”未注明单位；按测试柜时钟，其单位为 {unit}。",
        ),
        {"unit": unit},
    )


def _step_numbers(table: _Table) -> FloatArray | None:
    """Step numbers; words of a step column are numbered by their change."""
    if "step" not in table.cells:
        return None
    try:
        return numbers(table.cells["step"], table.decimal_comma)
    except ValueError:
        codes = pc.dictionary_encode(table.cells["step"].combine_chunks()).indices
        return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.float64)


def _direction(table: _Table) -> FloatArray | None:
    if "state" not in table.cells:
        return None
    encoded = pc.dictionary_encode(table.cells["state"].combine_chunks())
    words = [str(word).strip().lower() for word in encoded.dictionary.to_pylist()]
    source = table.source
    of_word = [
        -1.0 if _says(word, source.discharge_words) else 1.0 if _says(word, source.charge_words) else 0.0
        for word in words
    ]
    indices = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    direction: FloatArray = np.array(of_word or [0.0])[indices]
    return direction


def _says(word: str, states: tuple[str, ...]) -> bool:
    """Whether a state is one of the words: a single letter or digit stands for itself, a word may be part."""
    return any(word == state if len(state) == 1 and state.isascii() else state in word for state in states)


def _celsius(table: _Table) -> FloatArray | None:
    for meaning in ("temperature", "ambient"):
        written = table.numbers(meaning)
        if written is None or not np.any(np.nan_to_num(written)):
            continue
        if meaning == "ambient":
            table.findings.append(_ambient_finding(table.labels[meaning]))
        shift = _CELSIUS_OFFSETS.get(table.headings[meaning].unit)
        return shift(written) if shift is not None else written
    return None


def _ambient_finding(label: str) -> Finding:
    return Finding(
        "tester.ambient_temperature",
        Severity.NOTE,
        Message(
            f"The file holds no temperature of the battery; {label!r}, that of its surroundings, stands for it.",
            f"文件没有电池温度，以环境温度“{label}”代替。",
        ),
        {"column": label},
    )


def _uneven_findings(read: TextCells) -> list[Finding]:
    if not read.uneven_rows:
        return []
    count, first = len(read.uneven_rows), read.uneven_rows[0]
    ends = (" The file breaks off in its last row.", "文件在最后一行中断。") if read.cut_off else ("", "")
    return [
        Finding(
            "tester.rows_uneven",
            Severity.CAUTION,
            Message(
                f"{count} rows hold another number of cells than the headings and were left out, first line {first}."
                + ends[0],
                f"{count} 行的单元格数与表头不符，已略去，首行为第 {first} 行。" + ends[1],
            ),
            {"row_count": count, "first_line": first, "cut_off": read.cut_off},
        )
    ]
