"""A battery with known truth that tests damage.

`SimulatedBattery(rated_capacity_ah=100.0, remaining_capacity_ah=81.0)` behaves as the equivalent
circuit of its chemistry does and hands out canonical tables: pulse trains, capacity tests, partial
charges, a vehicle's telemetry. What is not measured is exact; noise comes with a seed. To damage a
table, change `columns_of` it. A pack is its cells in series, all alike on the bench.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from features.measurement import (
    BatteryHistory,
    BatteryIdentity,
    CanonicalTable,
    FloatArray,
    Inspection,
    MeasurementRun,
    SourceStamp,
    TableColumn,
)
from features.pulse import C_RATES, REST_TO_WIDTH_RATIO
from features.vocabulary import Chemistry, Level, Provenance, RunKind, StepType, TableFormat
from tests.support.equivalent_circuit import EquivalentCircuit, PulseResponse, circuit_of
from tests.support.full_cycle import FullCycle
from tests.support.simulated_vehicle import Vehicle, telemetry_columns

STARTED_AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
TESTER_RESOLUTION_VOLT = 1e-4
PULSE_SAMPLING_SECOND = 0.1
_LAST_SAMPLE_BEFORE_EDGE_SECOND = 0.001

Columns = dict[str, TableColumn]


@dataclass(frozen=True)
class PulseStep:
    """One pulse of a train with its rest: C-rate, width, voltage per cell before it, response per C-rate."""

    c_rate: float
    width_second: float
    rest_volt: float
    response: PulseResponse

    @property
    def rest_second(self) -> float:
        """Length of the rest after it."""
        return REST_TO_WIDTH_RATIO * self.width_second

    def pulse_volt(self, second: FloatArray) -> FloatArray:
        """Voltage per cell, a time after the current began."""
        return self.rest_volt + self.c_rate * self.response.during_pulse(second / self.width_second)

    def relaxation_volt(self, second: FloatArray) -> FloatArray:
        """Voltage per cell, a time after the current stopped."""
        over = self.response.during_rest(second / self.width_second, REST_TO_WIDTH_RATIO)
        return self.rest_volt + self.c_rate * over


@dataclass(frozen=True)
class SimulatedBattery:
    """A battery whose remaining capacity is known.

    Attributes
    ----------
    rated_capacity_ah, remaining_capacity_ah : float
        Plate and truth: the charge a 1 C discharge from full to cut-off delivers. [Ah]
    chemistry : Chemistry
        Must have a fitted circuit (LFP, LMO, NMC).
    battery_id : str
        Code or local name.
    level : Level
        Cell or pack.
    series_count : int
        Cells in series.
    declared_chemistry : Chemistry or None
        What the plate says, where it is not the truth.
    """

    rated_capacity_ah: float
    remaining_capacity_ah: float
    chemistry: Chemistry = Chemistry.LFP
    battery_id: str = "SIM-0001"
    level: Level = Level.CELL
    series_count: int = 1
    declared_chemistry: Chemistry | None = None

    @property
    def state_of_health_fraction(self) -> float:
        """Remaining over rated capacity."""
        return self.remaining_capacity_ah / self.rated_capacity_ah

    @property
    def circuit(self) -> EquivalentCircuit:
        """Circuit of its type."""
        return circuit_of(self.chemistry, self.rated_capacity_ah)

    @property
    def identity(self) -> BatteryIdentity:
        """The battery as declared; a GB/T 34014 code is recognised."""
        return BatteryIdentity.declared(
            self.battery_id,
            level=self.level,
            chemistry=self.declared_chemistry or self.chemistry,
            rated_capacity_ah=self.rated_capacity_ah,
            series_count=self.series_count,
        )

    def pulse_train(
        self,
        *,
        state_of_charge: float = 0.45,
        width_second: float = 3.0,
        amplitudes: Sequence[float] = C_RATES,
        rest_second: float = 600.0,
        noise_volt: float = 0.0,
        seed: int = 0,
    ) -> CanonicalTable:
        """Step table of a pulse train: a rest, then per amplitude a charge and a discharge pulse with their rests."""
        steps = self._pulse_steps(state_of_charge, width_second, amplitudes)
        begin, end = [steps[0].rest_volt], [steps[0].rest_volt]
        duration, c_rate = [rest_second], [0.0]
        for step in steps:
            for volt, second, rate in (
                (step.pulse_volt, step.width_second, step.c_rate),
                (step.relaxation_volt, step.rest_second, 0.0),
            ):
                first, last = volt(np.array([0.0, second])).tolist()
                begin.append(first)
                end.append(last)
                duration.append(second)
                c_rate.append(rate)
        noise = np.random.default_rng(seed)
        return _step_table(
            np.array(duration),
            self.rated_capacity_ah * np.array(c_rate),
            self._measured(np.array(begin), noise_volt, noise),
            self._measured(np.array(end), noise_volt, noise),
        )

    def pulse_record(
        self,
        *,
        state_of_charge: float = 0.45,
        width_second: float = 3.0,
        amplitudes: Sequence[float] = C_RATES,
        rest_second: float = 600.0,
        noise_volt: float = 0.0,
        seed: int = 0,
    ) -> CanonicalTable:
        """Timeseries of the same train at 10 Hz; the tester keeps the last sample before each edge as well."""
        steps = self._pulse_steps(state_of_charge, width_second, amplitudes)
        clock = _sample_times(rest_second)
        time, volt, c_rate = [clock], [np.full(len(clock), steps[0].rest_volt)], [np.zeros(len(clock))]
        begin = rest_second
        for step in steps:
            for curve, second, rate in (
                (step.pulse_volt, step.width_second, step.c_rate),
                (step.relaxation_volt, step.rest_second, 0.0),
            ):
                clock = _sample_times(second)
                time.append(begin + clock)
                volt.append(curve(clock))
                c_rate.append(np.full(len(clock), rate))
                begin += second
        noise = np.random.default_rng(seed)
        measured = self._measured(np.concatenate(volt), noise_volt, noise)
        current = self.rated_capacity_ah * np.concatenate(c_rate)
        return _timeseries(np.concatenate(time), measured, current)

    def two_trains(
        self,
        *,
        state_of_charge: float = 0.25,
        moved_fraction: float = 0.20,
        rate_c: float = 1.0,
        sampled: bool = False,
        **train: Any,
    ) -> CanonicalTable:
        """Two pulse trains with a constant-current charge between them, as step table or, sampled, as timeseries.

        The charge is `moved_fraction` of the rated capacity; `train` is as for `pulse_train`.
        """
        measured = self.pulse_record if sampled else self.pulse_train
        reached = state_of_charge + moved_fraction / self.state_of_health_fraction
        charge = self._charge_between(state_of_charge, reached, moved_fraction / rate_c * 3600.0, rate_c, sampled)
        return one_after_another(
            measured(state_of_charge=state_of_charge, **train), charge, measured(state_of_charge=reached, **train)
        )

    def capacity_test(self, *, rate_c: float = 1.0, arrives_charged: float = 0.4) -> CanonicalTable:
        """Step table of a full test: rest, CCCV charge, rest, discharge to cut-off, rest."""
        steps = self._cycle().steps(arrives_charged, rate_c)
        duration, current, begin, end = (np.array(column) for column in zip(*steps, strict=True))
        still = np.random.default_rng(0)
        return _step_table(duration, current, self._measured(begin, 0.0, still), self._measured(end, 0.0, still))

    def capacity_record(
        self, *, rate_c: float = 1.0, arrives_charged: float = 0.4, noise_volt: float = 0.0, seed: int = 0
    ) -> CanonicalTable:
        """Timeseries of the same test, a sample every 10 s."""
        time, volt, current = self._cycle().record(arrives_charged, rate_c)
        return _timeseries(time, self._measured(volt, noise_volt, np.random.default_rng(seed)), current)

    def partial_charge(
        self,
        *,
        from_charged: float = 0.2,
        to_charged: float = 0.8,
        rate_c: float = 0.33,
        noise_volt: float = 0.0,
        seed: int = 0,
    ) -> CanonicalTable:
        """Timeseries of a constant-current charge over a window, a sample every 10 s."""
        time, volt, current = self._cycle().charge(from_charged, to_charged, rate_c)
        return _timeseries(time, self._measured(volt, noise_volt, np.random.default_rng(seed)), current)

    def telemetry(self, vehicle: Vehicle | None = None, seed: int = 0) -> CanonicalTable:
        """Telemetry of the vehicle the pack sits in, with what a BMS makes of it."""
        driven = vehicle or Vehicle()
        cycle = self._cycle()
        columns = telemetry_columns(driven, self, cycle.loaded_volt, np.random.default_rng(seed))
        return CanonicalTable(TableFormat.TELEMETRY, columns)

    def run(
        self, kind: RunKind, table: CanonicalTable, started_at: datetime = STARTED_AT, **rest: Any
    ) -> MeasurementRun:
        """One of the tables as a run, available six hours after it began or, of a vehicle, ended."""
        reported = kind is RunKind.FIELD_TELEMETRY
        provenance = Provenance.BMS_REPORTED if reported else Provenance.BENCH_MEASURED
        source = SourceStamp(f"simulated {kind.value}", table.sha256, "simulator", provenance)
        known_from = datetime.fromtimestamp(table.floats("unix_time_second")[-1], UTC) if reported else started_at
        return MeasurementRun(kind, started_at, known_from + timedelta(hours=6), source, table, **rest)

    def history(self, *runs: MeasurementRun, inspection: Inspection | None = None) -> BatteryHistory:
        """Everything known about it; without runs, one pulse train at 45 % charge and 3 s."""
        measured = runs or (self.run(RunKind.PULSE_TEST, self.pulse_train()),)
        return BatteryHistory(self.identity, measured, inspection or Inspection(leakage=False, swelling=False))

    def _charge_between(
        self, from_charged: float, to_charged: float, duration_second: float, rate_c: float, sampled: bool
    ) -> CanonicalTable:
        clock = np.append(np.arange(0.0, duration_second - 0.5, 1.0), duration_second - _LAST_SAMPLE_BEFORE_EDGE_SECOND)
        charged = np.linspace(from_charged, to_charged, len(clock))
        loaded = self._cycle().loaded_volt(charged, np.full(len(clock), rate_c))
        volt = self._measured(loaded, 0.0, np.random.default_rng(0))
        current = np.full(len(clock), rate_c * self.rated_capacity_ah)
        if sampled:
            return _timeseries(clock, volt, current)
        return _step_table(np.array([duration_second]), current[:1], volt[:1], volt[-1:])

    def _cycle(self) -> FullCycle:
        return FullCycle(self.circuit, self.rated_capacity_ah, self.remaining_capacity_ah)

    def _pulse_steps(self, charged: float, width_second: float, amplitudes: Sequence[float]) -> list[PulseStep]:
        circuit, steps = self.circuit, list[PulseStep]()
        rest_volt = float(np.interp(charged, circuit.charged_knots, circuit.open_circuit_volt))
        for c_rate in (sign * amplitude for amplitude in amplitudes for sign in (1.0, -1.0)):
            response = circuit.response(self.state_of_health_fraction, charged, c_rate, width_second)
            steps.append(PulseStep(c_rate, width_second, rest_volt, response))
            rest_volt += c_rate * response.residual
        return steps

    def _measured(self, cell_volt: FloatArray, noise_volt: float, noise: np.random.Generator) -> FloatArray:
        volt = self.series_count * cell_volt
        if noise_volt > 0.0:
            volt = volt + noise.normal(0.0, noise_volt, volt.shape)
        rounded: FloatArray = np.round(np.round(volt / TESTER_RESOLUTION_VOLT) * TESTER_RESOLUTION_VOLT, 4)
        return rounded


def columns_of(table: CanonicalTable) -> Columns:
    """Copy of a table's columns that may be changed, to build a damaged table from."""
    return {name: values.copy() for name, values in table.columns.items()}


def one_after_another(*tables: CanonicalTable) -> CanonicalTable:
    """Tables of one format as one run: steps are numbered on, time runs on a millisecond after the last sample."""
    running = "step_index" if tables[0].format is TableFormat.STEP_TABLE else "test_time_second"
    gap = 1.0 if running == "step_index" else _LAST_SAMPLE_BEFORE_EDGE_SECOND
    joined: dict[str, list[TableColumn]] = {name: [] for name in tables[0].columns}
    begin = 0.0
    for table in tables:
        for name, values in table.columns.items():
            joined[name].append(np.round(table.floats(name) + begin, 4) if name == running else values)
        begin += float(table.floats(running)[-1]) + gap
    return CanonicalTable(tables[0].format, {name: np.concatenate(parts) for name, parts in joined.items()})


def wire_table(table: CanonicalTable) -> Mapping[str, list[Any]]:
    """Columns as they travel in a request: lists of numbers or words."""
    return {name: values.tolist() for name, values in table.columns.items()}


def _sample_times(duration_second: float) -> FloatArray:
    usual = np.arange(0.0, duration_second - PULSE_SAMPLING_SECOND / 2.0, PULSE_SAMPLING_SECOND)
    return np.round(np.append(usual, duration_second - _LAST_SAMPLE_BEFORE_EDGE_SECOND), 4)


def _step_table(duration: FloatArray, current: FloatArray, begin: FloatArray, end: FloatArray) -> CanonicalTable:
    words = {0.0: StepType.REST.value, 1.0: StepType.CHARGE.value, -1.0: StepType.DISCHARGE.value}
    columns: Columns = {
        "step_index": np.arange(len(duration), dtype=np.float64),
        "step_type": np.array([words[float(sign)] for sign in np.sign(current)]),
        "step_duration_second": np.round(duration, 3),
        "current_ampere": np.round(current, 4),
        "voltage_begin_volt": begin,
        "voltage_end_volt": end,
        "surface_temperature_celsius": np.full(len(duration), 25.0),
    }
    return CanonicalTable(TableFormat.STEP_TABLE, columns)


def _timeseries(time: FloatArray, volt: FloatArray, current: FloatArray) -> CanonicalTable:
    columns: Columns = {
        "test_time_second": np.round(time, 4),
        "voltage_volt": volt,
        "current_ampere": np.round(current, 4),
        "surface_temperature_celsius": np.full(len(time), 25.0),
    }
    return CanonicalTable(TableFormat.TIMESERIES, columns)
