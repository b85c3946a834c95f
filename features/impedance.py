"""What an impedance spectrum says about a battery, in resistances normalised by rated capacity.

Takes a canonical ``spectrum`` and returns named numbers; nothing here reads a file, knows a battery
type, a state of charge or a model. Resistances are in ohm·Ah, as in `features.pulse`: a battery of
twice the capacity and half the resistance has the same value. A capacitive arc has a negative
imaginary part.

**Spectra of different temperature are laid upon one another.** Charge transfer is thermally
activated: a colder battery shows the same arc, larger, at lower frequencies, both by the same
factor (time–temperature superposition). A feature named ``…_at_25c`` is read where the spectrum
would show it at 25 °C, from the frequencies that were measured; nothing is extrapolated. What lies
outside them is NaN, and a finding says which frequencies are missing.
"""

import itertools
import math

import numpy as np

from features.findings import Finding, Message, Severity
from features.measurement import BatteryIdentity, CanonicalTable, FloatArray
from features.spectrum import (
    WIDEST_GAP_FACTOR,
    Spectrum,
    arc_apex,
    impedance_at,
    inductance_henry,
    ohmic_resistance_ohm,
    warburg_slope,
    without_inductance,
)
from features.spectrum_checks import readable
from features.vocabulary import FeatureDefinition

ACTIVATION_ENERGY_KILOJOULE_PER_MOLE = 50.0
"""Of charge transfer in lithium-ion cells; published values lie between 40 and 70 (docs/methods/impedance.md)."""
REFERENCE_CELSIUS = 25.0
REFERENCE_HERTZ: FloatArray = 10.0 ** np.arange(-1.0, 3.1, 0.5)
"""Where the arc is read, as seen at 25 °C: from diffusion at its foot to the ohmic end. [Hz]"""
FIXED_HERTZ: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Where magnitude and phase are read, as measured. [Hz]"""
_GAS_CONSTANT = 8.314462618
_ZERO_CELSIUS_KELVIN = 273.15
_MICROHENRY_PER_HENRY = 1e6

_LABELS = tuple(f"{float(f'{hertz:.3g}'):g}hz" for hertz in REFERENCE_HERTZ)
_SHARES = tuple(f"real_share_{low}_to_{high}_at_25c" for low, high in itertools.pairwise(_LABELS))

IMPEDANCE_DEFINITIONS: tuple[FeatureDefinition, ...] = (
    FeatureDefinition("surface_temperature_celsius", "°C", "median surface temperature during the spectrum"),
    FeatureDefinition("ohmic_resistance_ohm_ah", "Ω·Ah", "real part where the imaginary part turns inductive"),
    FeatureDefinition("high_frequency_resistance_ohm_ah", "Ω·Ah", "real part at 1000 Hz as at 25 °C"),
    FeatureDefinition("arc_width_ohm_ah", "Ω·Ah", "gain of the real part from 1000 Hz down to 0.1 Hz, as at 25 °C"),
    FeatureDefinition("arc_width_ohm_ah_at_25c", "Ω·Ah", "the same, reduced to 25 °C as charge transfer is"),
    FeatureDefinition("arc_to_high_frequency_ratio", "1", "arc_width_ohm_ah over high_frequency_resistance_ohm_ah"),
    *(
        FeatureDefinition(name, "1", "part of the arc width gained between two frequencies as at 25 °C")
        for name in _SHARES
    ),
    *(
        FeatureDefinition(
            f"reactance_ratio_{label}_at_25c", "1", "imaginary part without inductance over the arc width"
        )
        for label in _LABELS
    ),
    FeatureDefinition("log_apex_frequency_at_25c", "log10(Hz)", "frequency of the arc's highest point as at 25 °C"),
    FeatureDefinition("apex_height_ratio", "1", "negative imaginary part at that point over the arc width"),
    FeatureDefinition("warburg_slope_ohm_ah", "Ω·Ah/s^0.5", "rise of −Im Z per ω^−0.5 over the lowest decade measured"),
    FeatureDefinition(
        "inductance_microhenry", "µH", "of cables and tabs, from the highest half decade; 0 if capacitive"
    ),
    *(
        FeatureDefinition(f"magnitude_ohm_ah_{hertz:g}hz", "Ω·Ah", "absolute impedance as measured")
        for hertz in FIXED_HERTZ
    ),
    *(
        FeatureDefinition(f"phase_radian_{hertz:g}hz", "rad", "phase as measured, capacitive negative")
        for hertz in FIXED_HERTZ
    ),
)
"""Ordered features of the method ``impedance``."""

IMPEDANCE_DECISIVE = "arc_width_ohm_ah_at_25c"
"""Without it the spectrum does not reach over the arc, and none of the features that matter is known."""


def impedance_features(
    table: CanonicalTable, identity: BatteryIdentity
) -> tuple[dict[str, float], tuple[Finding, ...]]:
    """Compute the features of a spectrum.

    Parameters
    ----------
    table : CanonicalTable
        Canonical ``spectrum``: any frequencies, rows in any order.
    identity : BatteryIdentity
        Gives the rated capacity resistances are normalised by.

    Returns
    -------
    dict of str to float
        Values of `IMPEDANCE_DEFINITIONS`, in order; NaN = the spectrum cannot tell. All NaN where the
        spectrum cannot be a battery's.
    tuple of Finding
        What was noticed; every reason for a NaN is among them.

    Examples
    --------
    A circuit of 100 nH, 1 mΩ and 2 mΩ ‖ 8 F (time constant 16 ms) at 25 °C on a 50 Ah cell: the ohmic
    resistance is 1 mΩ · 50 Ah, the arc 2 mΩ · 50 Ah wide, half as high, with its apex at 1/(2π·16 ms) = 9.9 Hz.

    >>> from features.vocabulary import Chemistry, Level, TableFormat
    >>> hertz = np.logspace(-2, 4, 121)
    >>> ohm = 2j * np.pi * hertz * 1e-7 + 0.001 + 0.002 / (1.0 + 2j * np.pi * hertz * 0.016)
    >>> columns = {"frequency_hertz": hertz, "real_impedance_ohm": ohm.real, "imaginary_impedance_ohm": ohm.imag}
    >>> columns["surface_temperature_celsius"] = np.full(len(hertz), 25.0)
    >>> table = CanonicalTable(TableFormat.SPECTRUM, columns)
    >>> values, findings = impedance_features(table, BatteryIdentity("a", Level.CELL, Chemistry.NMC, 50.0))
    >>> round(values["ohmic_resistance_ohm_ah"], 3), round(values["arc_width_ohm_ah"], 3)
    (0.05, 0.1)
    >>> round(10.0 ** values["log_apex_frequency_at_25c"], 1), round(values["apex_height_ratio"], 2)
    (9.9, 0.5)
    >>> round(values["inductance_microhenry"], 2), findings
    (0.1, ())
    """
    names = [each.name for each in IMPEDANCE_DEFINITIONS]
    spectrum, findings = readable(table)
    if spectrum is None:
        return dict.fromkeys(names, math.nan), findings
    values = dict(zip(names, _features(spectrum, identity.rated_capacity_ah), strict=True))
    return values, (*findings, *_missing_frequencies(spectrum), *_no_crossing(spectrum))


def slowing_factor(temperature_celsius: float) -> float:
    """How much slower charge transfer is than at 25 °C.

    Parameters
    ----------
    temperature_celsius : float
        Temperature of the battery. [°C]

    Returns
    -------
    float
        Factor on time constants and on the charge-transfer resistance; NaN without a temperature.

    Notes
    -----
    Arrhenius: ``exp(Eₐ/R · (1/T − 1/298.15 K))``.

    Examples
    --------
    >>> slowing_factor(25.0), round(slowing_factor(-10.0), 1), round(slowing_factor(40.0), 2)
    (1.0, 14.6, 0.38)
    """
    reciprocal = 1.0 / (temperature_celsius + _ZERO_CELSIUS_KELVIN) - 1.0 / (REFERENCE_CELSIUS + _ZERO_CELSIUS_KELVIN)
    return math.exp(1000.0 * ACTIVATION_ENERGY_KILOJOULE_PER_MOLE / _GAS_CONSTANT * reciprocal)


def _features(spectrum: Spectrum, rated_capacity_ah: float) -> list[float]:
    slower = slowing_factor(spectrum.temperature_celsius)
    battery = without_inductance(spectrum)
    arc = impedance_at(battery, REFERENCE_HERTZ / slower)
    width = _positive(float(arc.real[0] - arc.real[-1])) if np.isfinite(arc).all() else math.nan
    apex_hertz, apex_ohm = arc_apex(battery, REFERENCE_HERTZ[0] / slower, REFERENCE_HERTZ[-1] / slower)
    fixed = impedance_at(spectrum, np.array(FIXED_HERTZ))
    return [
        spectrum.temperature_celsius,
        ohmic_resistance_ohm(spectrum) * rated_capacity_ah,
        float(arc.real[-1]) * rated_capacity_ah,
        width * rated_capacity_ah,
        width / slower * rated_capacity_ah,
        width / _positive(float(arc.real[-1])),
        *(-np.diff(arc.real) / width).tolist(),
        *(arc.imag / width).tolist(),
        math.log10(apex_hertz * slower),
        apex_ohm / width,
        warburg_slope(spectrum) * rated_capacity_ah,
        inductance_henry(spectrum) * _MICROHENRY_PER_HENRY,
        *(np.abs(fixed) * rated_capacity_ah).tolist(),
        *np.where(np.isnan(fixed), math.nan, np.angle(fixed)).tolist(),
    ]


def _positive(value: float) -> float:
    """Value itself, or NaN where it is not positive: an arc of no width has no shape."""
    return value if value > 0.0 else math.nan


def _missing_frequencies(spectrum: Spectrum) -> list[Finding]:
    needed = REFERENCE_HERTZ / slowing_factor(spectrum.temperature_celsius)
    missing = needed[np.isnan(impedance_at(spectrum, needed))]
    if math.isnan(spectrum.temperature_celsius) or not len(missing):
        return []
    low, high = float(spectrum.frequency_hertz[0]), float(spectrum.frequency_hertz[-1])
    shown = ", ".join(f"{hertz:.2g}" for hertz in missing)
    celsius = spectrum.temperature_celsius
    return [
        Finding(
            "impedance.frequencies_missing",
            Severity.CAUTION,
            Message(
                f"At {celsius:.0f} °C the spectrum must hold {needed[0]:.2g} to {needed[-1]:.2g} Hz, neighbours no "
                f"further apart than a factor of {WIDEST_GAP_FACTOR:g}; measured: {low:.2g} to {high:.2g} Hz. "
                f"Missing: {shown} Hz.",
                f"{celsius:.0f} °C 时阻抗谱须覆盖 {needed[0]:.2g} 至 {needed[-1]:.2g} Hz，相邻频率之比不超过 "
                f"{WIDEST_GAP_FACTOR:g}；已测：{low:.2g} 至 {high:.2g} Hz。缺少：{shown} Hz。",
            ),
            {
                "lowest_hertz": low,
                "highest_hertz": high,
                "needed_lowest_hertz": float(needed[0]),
                "needed_highest_hertz": float(needed[-1]),
                "missing_hertz": shown,
            },
        )
    ]


def _no_crossing(spectrum: Spectrum) -> list[Finding]:
    if not math.isnan(ohmic_resistance_ohm(spectrum)):
        return []
    high = float(spectrum.frequency_hertz[-1])
    return [
        Finding(
            "impedance.no_real_axis_crossing",
            Severity.NOTE,
            Message(
                f"The spectrum does not cross the real axis up to {high:.3g} Hz: no ohmic resistance was read.",
                f"阻抗谱在 {high:.3g} Hz 以内未穿过实轴：未读取欧姆电阻。",
            ),
            {"highest_hertz": high},
        )
    ]
