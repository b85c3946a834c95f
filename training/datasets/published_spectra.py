"""Published impedance spectra as runs a station could have sent.

Every public set of spectra is brought to the same few things: a table with one spectrum per row and
a column per frequency becomes complex impedances, and each of them, with its temperature and the
plate of its cell, a history with one ``impedance`` run. Features are computed behind the same door
as in the service. A state of charge the publisher set is kept to count rows, never as a feature.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa

from features.errors import InvalidInput, Problem
from features.measurement import (
    BatteryHistory,
    BatteryIdentity,
    CanonicalTable,
    FloatArray,
    MeasurementRun,
    SourceStamp,
)
from features.spectrum import ComplexArray
from features.vocabulary import Chemistry, Level, RunKind, TableFormat
from training.labels import DatasetSource, LabelledTests
from training.schema_check import schema_problems

_MEASURED_AT = datetime(2000, 1, 1, tzinfo=UTC)
"""A training test is known as soon as it is measured; no feature depends on the date."""

_COLUMN = re.compile(r"z(?P<part>real|imag)_(?P<hertz>[0-9.e+]+)hz", re.IGNORECASE)


@dataclass(frozen=True)
class PublishedFile:
    """A file of spectra.

    Attributes
    ----------
    path : Path
        Below the data folder.
    name, licence : str
        As they will stand in a bundle.
    """

    path: Path
    name: str
    licence: str

    def read(self, data_folder: Path, schema: pa.DataFrameSchema) -> tuple[pd.DataFrame, DatasetSource]:
        """Rows that obey the schema, and where they came from.

        Raises
        ------
        InvalidInput
            ``DATASET_NOT_READABLE`` if the file is missing or breaks the schema.
        """
        file = data_folder / self.path
        if not file.is_file():
            raise self._refused([Problem(self.path.as_posix(), "must be a file in the data folder", data_folder.name)])
        table = pd.read_parquet(file)
        problems = schema_problems(table, schema, self.path.name)
        if problems:
            raise self._refused(problems[:20])
        return table, DatasetSource(self.name, self.licence, hashlib.sha256(file.read_bytes()).hexdigest())

    def _refused(self, problems: list[Problem]) -> InvalidInput:
        message = f"{self.path.as_posix()} is not the table this adapter knows. Nothing was trained."
        return InvalidInput(message, problems, code="DATASET_NOT_READABLE")


@dataclass(frozen=True)
class Spectra:
    """Spectra at common frequencies.

    Attributes
    ----------
    frequency_hertz : ndarray, shape (m,)
        [Hz]
    impedance_ohm : ndarray of complex, shape (n, m)
        Capacitive = negative imaginary part. [Ω]
    """

    frequency_hertz: FloatArray
    impedance_ohm: ComplexArray

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Spectra":
        """Spectra of a table with columns ``Zreal_<frequency>Hz`` and ``Zimag_<frequency>Hz``."""
        found = [match for name in table.columns if (match := _COLUMN.fullmatch(name))]
        named = {(match["part"].lower(), float(match["hertz"])): match.string for match in found}
        hertz = [frequency for part, frequency in named if part == "real"]
        real = table[[named["real", each] for each in hertz]].to_numpy(dtype=np.float64)
        imaginary = table[[named["imag", each] for each in hertz]].to_numpy(dtype=np.float64)
        return cls(np.array(hertz), real + 1j * imaginary)

    def numbers(self) -> npt.NDArray[np.int64]:
        """A number per row that equal spectra share, in order of appearance, shape (n,)."""
        contents = pd.Series([row.tobytes() for row in self.impedance_ohm])
        return np.asarray(pd.factorize(contents)[0], dtype=np.int64)

    def taken(self, rows: npt.NDArray[np.bool_]) -> "Spectra":
        """Rows by mask."""
        return Spectra(self.frequency_hertz, self.impedance_ohm[rows])

    def histories(
        self, plates: list[BatteryIdentity], temperature_celsius: FloatArray, source: DatasetSource
    ) -> Iterator[BatteryHistory]:
        """Yield one history per row, with one run of the kind ``impedance``."""
        stamp = SourceStamp(source.name, source.sha256, source.name)
        for plate, row, celsius in zip(plates, self.impedance_ohm, temperature_celsius.tolist(), strict=True):
            columns = {
                "frequency_hertz": self.frequency_hertz,
                "real_impedance_ohm": row.real,
                "imaginary_impedance_ohm": row.imag,
                "surface_temperature_celsius": np.full(len(row), celsius),
            }
            spectrum = CanonicalTable(TableFormat.SPECTRUM, columns)
            run = MeasurementRun(RunKind.IMPEDANCE, _MEASURED_AT, _MEASURED_AT, stamp, spectrum)
            yield BatteryHistory(plate, (run,))


@dataclass(frozen=True)
class Plate:
    """What all cells of a set have in common."""

    chemistry: Chemistry
    rated_capacity_ah: float

    def labelled(self, source: DatasetSource, spectra: Spectra, rows: pd.DataFrame) -> LabelledTests:
        """Spectra with their labels.

        Parameters
        ----------
        source : DatasetSource
        spectra : Spectra
            One per row.
        rows : DataFrame
            ``battery_id``, ``physical_cell``, ``state_of_health_fraction``, ``temperature_celsius``,
            ``charged_fraction``, ``visit``.
        """
        labels = pd.DataFrame(
            {
                "battery_id": rows["battery_id"],
                "physical_cell": rows["physical_cell"],
                "level": Level.CELL.value,
                "chemistry": self.chemistry.value,
                "rated_capacity_ah": self.rated_capacity_ah,
                "type_designation": pd.Series(None, index=rows.index, dtype="str"),
                "remaining_capacity_ah": rows["state_of_health_fraction"] * self.rated_capacity_ah,
                "visit": rows["visit"],
                "charged_fraction": rows["charged_fraction"],
                "voltage_limited": False,
            }
        )
        plates = [
            BatteryIdentity(name, Level.CELL, self.chemistry, self.rated_capacity_ah) for name in rows["battery_id"]
        ]
        celsius = rows["temperature_celsius"].to_numpy(dtype=np.float64)
        return LabelledTests(source, labels, tuple(spectra.histories(plates, celsius, source)))
