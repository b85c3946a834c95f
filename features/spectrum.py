"""An impedance spectrum in order of frequency, and what can be read off it point by point.

Takes a canonical ``spectrum`` table. A capacitive arc has a negative imaginary part, cables and tabs
add a positive one that grows with frequency. Nothing here judges a spectrum
(`features.spectrum_checks`) or normalises by the size of a battery (`features.impedance`).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from features.measurement import CanonicalTable, FloatArray

ComplexArray = npt.NDArray[np.complex128]

CAPACITIVE_BELOW_HERTZ = 10.0
"""Below it cables and tabs no longer show: what is left of the imaginary part is the battery's."""
WIDEST_GAP_FACTOR = 4.0
"""Between neighbours further apart than this in frequency nothing is interpolated."""

_EDGE_TOLERANCE = 1.02
_TOP_FACTOR = 10.0**0.5
_WARBURG_FACTOR = 10.0
_SLOWEST_WARBURG_HERTZ = 0.1
_APEX_NEIGHBOURS = 3


@dataclass(frozen=True)
class Spectrum:
    """A spectrum in order of frequency; every frequency once.

    Attributes
    ----------
    frequency_hertz : ndarray, shape (n,)
        Strictly increasing. [Hz]
    impedance_ohm : ndarray of complex, shape (n,)
        Capacitive = negative imaginary part. [Ω]
    temperature_celsius : float
        Median surface temperature, NaN if unknown. [°C]
    """

    frequency_hertz: FloatArray
    impedance_ohm: ComplexArray
    temperature_celsius: float

    @property
    def capacitive(self) -> npt.NDArray[np.bool_]:
        """Points below the lowest frequency at which cables make the spectrum inductive, shape (n,)."""
        inductive = np.flatnonzero((self.impedance_ohm.imag > 0.0) & (self.frequency_hertz >= CAPACITIVE_BELOW_HERTZ))
        first = int(inductive[0]) if len(inductive) else len(self.frequency_hertz)
        return np.asarray(np.arange(len(self.frequency_hertz)) < first, dtype=np.bool_)

    def without(self, points: npt.NDArray[np.bool_]) -> "Spectrum":
        """Leave out the marked points."""
        return replace(self, frequency_hertz=self.frequency_hertz[~points], impedance_ohm=self.impedance_ohm[~points])


def spectrum_of(table: CanonicalTable) -> Spectrum:
    """Order a table by frequency; a frequency measured several times counts with the mean.

    Parameters
    ----------
    table : CanonicalTable
        Canonical ``spectrum``, rows in any order.

    Returns
    -------
    Spectrum
    """
    impedance = table.floats("real_impedance_ohm") + 1j * table.floats("imaginary_impedance_ohm")
    frequency, place, count = np.unique(table.floats("frequency_hertz"), return_inverse=True, return_counts=True)
    real = np.bincount(place, impedance.real) / count
    imaginary = np.bincount(place, impedance.imag) / count
    return Spectrum(frequency, real + 1j * imaginary, _temperature_celsius(table))


def _temperature_celsius(table: CanonicalTable) -> float:
    name = "surface_temperature_celsius"
    measured = table.floats(name)[np.isfinite(table.floats(name))] if name in table else np.empty(0)
    return float(np.median(measured)) if len(measured) else math.nan


def impedance_at(spectrum: Spectrum, hertz: FloatArray) -> ComplexArray:
    """Impedance between the measured frequencies, linear in the logarithm of frequency.

    Parameters
    ----------
    spectrum : Spectrum
    hertz : ndarray, shape (m,)
        Frequencies asked for; NaN gives NaN. [Hz]

    Returns
    -------
    ndarray of complex, shape (m,)
        NaN outside the measured frequencies (beyond 2 %) and inside a gap of more than a factor of 4. [Ω]

    Examples
    --------
    >>> two = Spectrum(np.array([1.0, 4.0]), np.array([0.003 - 0.001j, 0.001 - 0.001j]), 25.0)
    >>> impedance_at(two, np.array([2.0, 5.0])).real.tolist()
    [0.002, nan]
    """
    measured = spectrum.frequency_hertz
    held = np.clip(np.nan_to_num(hertz, nan=-1.0), measured[0], measured[-1])
    outside = ~((hertz * _EDGE_TOLERANCE >= measured[0]) & (hertz <= measured[-1] * _EDGE_TOLERANCE))
    above = np.searchsorted(measured, held)
    below = np.maximum(above - (measured[above] > held), 0)
    gap = measured[above] > WIDEST_GAP_FACTOR * measured[below]
    place, at = np.log(measured), np.log(held)
    ohm = np.interp(at, place, spectrum.impedance_ohm.real) + 1j * np.interp(at, place, spectrum.impedance_ohm.imag)
    return np.asarray(np.where(outside | gap, complex(math.nan, math.nan), ohm), dtype=np.complex128)


def ohmic_resistance_ohm(spectrum: Spectrum) -> float:
    """Real part where the spectrum crosses the real axis, between two points; NaN if it stays capacitive. [Ω].

    Examples
    --------
    >>> crossing = Spectrum(np.array([900.0, 1100.0]), np.array([0.0012 - 0.0001j, 0.001 + 0.0001j]), 25.0)
    >>> round(ohmic_resistance_ohm(crossing), 6)
    0.0011
    """
    first_inductive = int(spectrum.capacitive.sum())
    if not 0 < first_inductive < len(spectrum.frequency_hertz):
        return math.nan
    before, after = spectrum.impedance_ohm[first_inductive - 1], spectrum.impedance_ohm[first_inductive]
    share = -before.imag / (after.imag - before.imag)
    return float(before.real + share * (after.real - before.real))


def inductance_henry(spectrum: Spectrum) -> float:
    """Inductance of cables and tabs: median of Im Z/ω over the highest half decade, 0 unless all of it is inductive.

    Notes
    -----
    What is left of the battery's own negative imaginary part up there makes it a little too small. [H]
    """
    hertz, imaginary = spectrum.frequency_hertz, spectrum.impedance_ohm.imag
    top = (hertz >= hertz[-1] / _TOP_FACTOR) & (hertz >= CAPACITIVE_BELOW_HERTZ)
    if not top.any() or (imaginary[top] <= 0.0).any():
        return 0.0
    return float(np.median(imaginary[top] / (2.0 * np.pi * hertz[top])))


def without_inductance(spectrum: Spectrum) -> Spectrum:
    """Spectrum of the battery alone: what cables and tabs add to the imaginary part is taken off."""
    added = 2j * np.pi * spectrum.frequency_hertz * inductance_henry(spectrum)
    return replace(spectrum, impedance_ohm=spectrum.impedance_ohm - added)


def arc_apex(spectrum: Spectrum, lowest_hertz: float, highest_hertz: float) -> tuple[float, float]:
    """Highest point of the arc in a range of frequencies.

    Parameters
    ----------
    spectrum : Spectrum
    lowest_hertz, highest_hertz : float
        Range the apex must lie in. [Hz]

    Returns
    -------
    float
        Frequency of the apex, by a parabola through three points; NaN where −Im Z has no maximum that
        stands above its three neighbours on either side. [Hz]
    float
        −Im Z there. [Ω]
    """
    hertz = spectrum.frequency_hertz
    height = -spectrum.impedance_ohm.imag
    inside = np.flatnonzero((hertz >= lowest_hertz) & (hertz <= highest_hertz))
    inside = inside[(inside >= _APEX_NEIGHBOURS) & (inside < len(hertz) - _APEX_NEIGHBOURS)]
    peaks = [at for at in inside if height[at] >= height[at - _APEX_NEIGHBOURS : at + _APEX_NEIGHBOURS + 1].max()]
    if not peaks:
        return math.nan, math.nan
    place = max(peaks, key=lambda each: float(height[each]))
    left, top, right = height[place - 1 : place + 2].tolist()
    curvature = left - 2.0 * top + right
    shift = 0.5 * (left - right) / curvature if curvature < 0.0 else 0.0
    step = math.log(hertz[place + 1] / hertz[place - 1]) / 2.0
    return float(hertz[place]) * math.exp(shift * step), top - 0.25 * (left - right) * shift


def warburg_slope(spectrum: Spectrum) -> float:
    """Least-squares slope of −Im Z over ω^−0.5 in the lowest decade; NaN unless that begins at 0.1 Hz or lower.

    Notes
    -----
    The coefficient σ of a Warburg element, ``Z = σ·(1 − j)·ω^−0.5``. [Ω/s^0.5]
    """
    hertz = spectrum.frequency_hertz
    lowest = hertz <= _WARBURG_FACTOR * hertz[0]
    if hertz[0] > _SLOWEST_WARBURG_HERTZ or lowest.sum() < 3:
        return math.nan
    reciprocal_root = (2.0 * np.pi * hertz[lowest]) ** -0.5
    centred = reciprocal_root - reciprocal_root.mean()
    return float(centred @ -spectrum.impedance_ohm.imag[lowest] / (centred @ centred))
