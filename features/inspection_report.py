"""What a file is, what was read from it, what was dropped and why; with a small plot.

The reading goes through the same door as a grading (`by_format`), so that what is shown is what would
be graded. Pure: nothing is written and nothing decided.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from features.errors import InvalidInput, PackGradeError
from features.findings import Finding
from features.line_plot import Panel, svg_plot
from features.measurement import CanonicalTable, FloatArray, MeasurementRun
from features.readers.by_format import read_run
from features.readers.file_kind import FileKind, file_kind
from features.vocabulary import RunKind, TableFormat

_KINDS: dict[str, tuple[RunKind, ...]] = {
    "spectrum": (RunKind.IMPEDANCE,),
    "telemetry": (RunKind.FIELD_TELEMETRY,),
    "bms": (RunKind.FIELD_TELEMETRY,),
    "gbt32960": (RunKind.FIELD_TELEMETRY,),
}
_BENCH_KINDS = (RunKind.CAPACITY_TEST, RunKind.PULSE_TEST)


@dataclass(frozen=True)
class FileInspection:
    """The answer to "what is this file?".

    Attributes
    ----------
    file_name : str
        Without its folder.
    byte_count : int
        Size.
    kind : FileKind
        What it is.
    run : MeasurementRun or None
        What was read; None where nothing could be.
    refusal : PackGradeError or None
        Why nothing was read.
    """

    file_name: str
    byte_count: int
    kind: FileKind
    run: MeasurementRun | None
    refusal: PackGradeError | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was noticed and what was dropped."""
        return self.run.findings if self.run is not None else ()

    def extents(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of every column that was read."""
        if self.run is None:
            return {}
        columns = {name: values for name, values in self.run.table.columns.items() if values.dtype.kind == "f"}
        known = {name: np.asarray(v, dtype=np.float64)[~np.isnan(v)] for name, v in columns.items()}
        return {name: (float(values.min()), float(values.max())) for name, values in known.items() if len(values)}

    def plot_svg(self) -> str:
        """Plot of what was read; empty where nothing was."""
        if self.run is None:
            return ""
        x_label, x, panels = _curves(self.run.table)
        return svg_plot(f"{self.file_name}: {self.kind.title}", x_label, x, panels)


def inspect_file(
    path: Path,
    available_at: datetime,
    run_format: str = "",
    mapping: Path | None = None,
    battery_id: str | None = None,
) -> FileInspection:
    """Say what a file is and read it.

    Parameters
    ----------
    path : Path
        Any file.
    available_at : datetime
        Now; aware.
    run_format : str
        Format word to read it under; empty takes the one its content shows.
    mapping : Path, optional
        Vehicle mapping for ``bms``.
    battery_id : str, optional
        Battery to take from a file of many.

    Raises
    ------
    UnreadableFile
        If the file is absent, empty or damaged beyond saying what it is.
    """
    kind = FileKind(f"declared as {run_format}", run_format) if run_format else file_kind(path)
    run, refusal = None, None
    if kind.run_format:
        run, refusal = _read(path, kind.run_format, available_at, mapping, battery_id)
    return FileInspection(path.name, path.stat().st_size, kind, run, refusal)


def _read(
    path: Path, run_format: str, available_at: datetime, mapping: Path | None, battery_id: str | None
) -> tuple[MeasurementRun | None, PackGradeError | None]:
    refusal: PackGradeError | None = None
    for kind in _KINDS.get(run_format, _BENCH_KINDS):
        try:
            run = read_run(
                kind=kind,
                run_format=run_format,
                path=path,
                available_at=available_at,
                battery_id=battery_id,
                mapping=mapping,
            )
        except InvalidInput as error:
            refusal = refusal or error
        else:
            return run, None
    return None, refusal


def _curves(table: CanonicalTable) -> tuple[str, FloatArray, list[Panel]]:
    def panels(*names: str) -> list[Panel]:
        return [Panel(name, table.floats(name)) for name in names if name in table]

    if table.format is TableFormat.TIMESERIES:
        curves = panels("voltage_volt", "current_ampere", "surface_temperature_celsius")
        return "test_time_second", table.floats("test_time_second"), curves
    if table.format is TableFormat.TELEMETRY:
        curves = panels("pack_voltage_volt", "pack_current_ampere", "reported_soc_percent")
        return "unix_time_second", table.floats("unix_time_second"), curves
    if table.format is TableFormat.STEP_TABLE:
        ends = np.cumsum(table.floats("step_duration_second"))
        return "end of step, second", ends, panels("voltage_end_volt", "current_ampere")
    decades = np.log10(table.floats("frequency_hertz"))
    order = np.argsort(decades, kind="stable")
    return (
        "log10 frequency_hertz",
        decades[order],
        [Panel(name, table.floats(name)[order]) for name in ("real_impedance_ohm", "imaginary_impedance_ohm")],
    )
