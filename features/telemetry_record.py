"""The columns of a vehicle's record as the features read them, without rows from a clock that was wrong.

One place decides which cells and probes are read, how many cells lie in series and which rows have a
moment that can be: everything after it works on plain arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from features.charge_count import IntArray
from features.measurement import BatteryIdentity, CanonicalTable, FloatArray

EARLIEST = datetime(2008, 1, 1, tzinfo=UTC)
"""No lithium-ion traction battery was in series production earlier: a clock that shows less was not set."""
_MOST_ROWS = 4_000


@dataclass(frozen=True)
class TelemetryRecord:
    """A canonical ``telemetry`` table from its first to its last row with a possible moment.

    Attributes
    ----------
    table : CanonicalTable
        Canonical ``telemetry``.
    rows : slice
        Rows that are read.
    """

    table: CanonicalTable
    rows: slice

    @classmethod
    def until(cls, table: CanonicalTable, known_until: datetime) -> "TelemetryRecord":
        """Leave out rows before any such battery was made, and after the record was handed in."""
        moment = table.floats("unix_time_second")
        first, end = np.searchsorted(moment, (EARLIEST.timestamp(), known_until.timestamp() + 1.0))
        if first >= end:  # a logger's own seconds; the order still holds
            return cls(table, slice(0, moment.size))
        return cls(table, slice(int(first), int(end)))

    def column(self, name: str) -> FloatArray:
        """Return a required column."""
        return self.table.floats(name)[self.rows]

    def optional(self, name: str) -> FloatArray | None:
        """Return a column, if the record has it."""
        return self.column(name) if name in self.table else None

    def cells(self) -> tuple[FloatArray, ...]:
        """Cell by cell; without a cell list highest and lowest, which tell the spread but no single cell."""
        return self._numbered("cell_voltage_{}_volt") or self._pair("cell_voltage_{}_volt")

    def probes(self) -> FloatArray:
        """Probe temperatures in evenly picked rows, shape (probes, rows). [°C]."""
        columns = self._numbered("probe_temperature_{}_celsius") or self._pair("probe_temperature_{}_celsius")
        picked = self._evenly()
        return np.array([each[picked] for each in columns]) if columns else np.empty((0, picked.size))

    def hottest_celsius(self, rows: IntArray) -> FloatArray:
        """Hottest probe in the given rows, NaN where none reports. [°C]."""
        columns = self._pair("probe_temperature_{}_celsius")[:1] or self._numbered("probe_temperature_{}_celsius")
        if not columns:
            return np.full(rows.size, np.nan)
        hottest: FloatArray = np.fmax.reduce([each[rows] for each in columns], axis=0)
        return hottest

    def series_count(self, identity: BatteryIdentity) -> int | None:
        """Cells in series: as declared, else pack voltage over the mean of highest and lowest cell."""
        if identity.series_count is not None:
            return identity.series_count
        picked = self._evenly()
        cells = self._pair("cell_voltage_{}_volt") or self._numbered("cell_voltage_{}_volt")
        if not cells:
            return None
        pack = self.column("pack_voltage_volt")[picked]
        middle = np.mean([cell[picked] for cell in cells], axis=0)
        usable = (middle > 0.5) & (pack > 0.0)
        return round(float(np.median(pack[usable] / middle[usable]))) or None if usable.any() else None

    def _evenly(self) -> IntArray:
        count = self.column("unix_time_second").size
        return np.arange(0, count, max(1, -(-count // _MOST_ROWS)))

    def _numbered(self, family: str) -> tuple[FloatArray, ...]:
        names: list[str] = []
        while (name := family.format(len(names) + 1)) in self.table:
            names.append(name)
        return tuple(self.column(name) for name in names)

    def _pair(self, family: str) -> tuple[FloatArray, ...]:
        names: Sequence[str] = [family.format(word) for word in ("max", "min")]
        return tuple(self.column(name) for name in names) if all(name in self.table for name in names) else ()
