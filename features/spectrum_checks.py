"""Whether a spectrum can be a battery's impedance, and which of its points cannot.

The sign is the field's: a capacitive arc has a *negative* imaginary part, an inductive branch a
positive one. Nothing is turned round or repaired; a point that contradicts all others is left out,
and a finding names it.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from features.findings import Finding, Message, Severity
from features.kramers_kronig import relative_residuals
from features.measurement import CanonicalTable
from features.spectrum import CAPACITIVE_BELOW_HERTZ, Spectrum, spectrum_of

LARGEST_TEMPERATURE_DRIFT_KELVIN = 3.0
"""Charge transfer changes by about 23 % over it."""
LARGEST_RESIDUAL_FRACTION = 0.02
"""Root mean square of the Kramers–Kronig residuals; bench spectra of resting cells lie well below."""

_OUTLIER_FRACTION, _OUTLIER_TIMES_MEDIAN = 0.03, 6.0
_LEAST_POINTS = 8
_SHOWN_POINTS = 5


def readable(table: CanonicalTable) -> tuple[Spectrum | None, tuple[Finding, ...]]:
    """Spectrum without the points that contradict it, or None where it cannot be a battery's.

    Parameters
    ----------
    table : CanonicalTable
        Canonical ``spectrum``.

    Returns
    -------
    Spectrum or None
        None when the sign of the imaginary part is turned round or the real part is negative.
    tuple of Finding
        What was noticed.
    """
    spectrum = spectrum_of(table)
    impossible = [each for each in (_sign_reversed(spectrum), _real_part_negative(spectrum)) if each]
    about_the_test = tuple(_test_findings(table, spectrum))
    if impossible:
        return None, (*impossible, *about_the_test)
    kept, consistency = _consistent(spectrum)
    return kept, (*about_the_test, *consistency)


def _sign_reversed(spectrum: Spectrum) -> Finding | None:
    slow = spectrum.frequency_hertz < CAPACITIVE_BELOW_HERTZ
    positive = spectrum.impedance_ohm.imag[slow] > 0.0
    if not slow.any() or positive.mean() <= 0.5:
        return None
    count, of = int(positive.sum()), int(slow.sum())
    return Finding(
        "impedance.sign_reversed",
        Severity.CAUTION,
        Message(
            f"The imaginary part is positive at {count} of {of} frequencies below {CAPACITIVE_BELOW_HERTZ:g} Hz. A "
            "battery is capacitive there: its imaginary part is negative. The file probably holds −Im Z; change the "
            "sign and send it again. The spectrum was not used.",
            f"{CAPACITIVE_BELOW_HERTZ:g} Hz 以下的 {of} 个频率中有 {count} 个虚部为正。电池在此呈容性，虚部应为负。"
            "文件可能给出的是 −Im Z；请改变符号后重新发送。该阻抗谱未被使用。",
        ),
        {"positive_count": count, "point_count": of, "below_hertz": CAPACITIVE_BELOW_HERTZ},
    )


def _real_part_negative(spectrum: Spectrum) -> Finding | None:
    real = np.where(spectrum.capacitive, spectrum.impedance_ohm.real, np.inf)
    place = int(np.argmin(real))
    if real[place] > 0.0:
        return None
    hertz, ohm = float(spectrum.frequency_hertz[place]), float(real[place])
    return Finding(
        "impedance.real_part_negative",
        Severity.CAUTION,
        Message(
            f"The real part is {ohm:.3g} Ω at {hertz:.3g} Hz; a battery's is positive. The spectrum was not used: "
            "check the four leads and the column order.",
            f"{hertz:.3g} Hz 处实部为 {ohm:.3g} Ω；电池的实部应为正。该阻抗谱未被使用：请检查四线接法和列的顺序。",
        ),
        {"frequency_hertz": hertz, "real_impedance_ohm": ohm},
    )


def _test_findings(table: CanonicalTable, spectrum: Spectrum) -> Iterator[Finding]:
    repeated = table.row_count - len(spectrum.frequency_hertz)
    if repeated:
        yield Finding(
            "impedance.frequency_repeated",
            Severity.NOTE,
            Message(
                f"{repeated} of {table.row_count} rows repeat a frequency; the mean was taken.",
                f"{table.row_count} 行中有 {repeated} 行频率重复；已取平均值。",
            ),
            {"repeated_count": repeated, "row_count": table.row_count},
        )
    if math.isnan(spectrum.temperature_celsius):
        yield Finding(
            "impedance.temperature_missing",
            Severity.CAUTION,
            Message(
                "The spectrum has no surface temperature. Impedance doubles about every 10 K, so the spectrum was "
                "not used: measure the temperature and send it along.",
                "阻抗谱没有表面温度。阻抗约每 10 K 相差一倍，因此未使用该谱：请测量温度并一并发送。",
            ),
        )
        return
    celsius = table.floats("surface_temperature_celsius")
    drift = float(np.nanmax(celsius) - np.nanmin(celsius))
    if drift > LARGEST_TEMPERATURE_DRIFT_KELVIN:
        yield Finding(
            "impedance.temperature_drift",
            Severity.CAUTION,
            Message(
                f"The surface temperature moved by {drift:.1f} K during the spectrum "
                f"(allowed: {LARGEST_TEMPERATURE_DRIFT_KELVIN:g} K).",
                f"测量期间表面温度变化 {drift:.1f} K（允许 {LARGEST_TEMPERATURE_DRIFT_KELVIN:g} K）。",
            ),
            {"drift_kelvin": drift, "allowed_kelvin": LARGEST_TEMPERATURE_DRIFT_KELVIN},
        )


def _consistent(spectrum: Spectrum) -> tuple[Spectrum, tuple[Finding, ...]]:
    """Leave out what the other points contradict, and judge what is left."""
    checked = np.flatnonzero(spectrum.capacitive)
    if len(checked) < _LEAST_POINTS:
        return spectrum, ()
    off = np.zeros(len(spectrum.frequency_hertz), dtype=np.bool_)
    while True:
        at = checked[~off[checked]]
        residual = relative_residuals(spectrum.frequency_hertz[at], spectrum.impedance_ohm[at])
        limit = max(_OUTLIER_FRACTION, _OUTLIER_TIMES_MEDIAN * float(np.median(residual)))
        worst = int(np.argmax(residual))
        if residual[worst] <= limit or len(at) <= _LEAST_POINTS or off.sum() >= len(checked) // 10:
            break
        off[at[worst]] = True
    findings = [*_left_out(spectrum, off), *_inconsistent(float(np.sqrt(np.mean(residual**2))))]
    return spectrum.without(off), tuple(findings)


def _left_out(spectrum: Spectrum, off: npt.NDArray[np.bool_]) -> Iterator[Finding]:
    count, of = int(off.sum()), len(off)
    if count:
        shown = ", ".join(f"{hertz:.3g}" for hertz in spectrum.frequency_hertz[off][:_SHOWN_POINTS])
        yield Finding(
            "impedance.point_left_out",
            Severity.CAUTION,
            Message(
                f"{count} of {of} points contradict all others (at {shown} Hz) and were left out.",
                f"{of} 个点中有 {count} 个与其余各点矛盾（{shown} Hz），已剔除。",
            ),
            {"left_out_count": count, "point_count": of, "frequencies_hertz": shown},
        )


def _inconsistent(residual_fraction: float) -> Iterator[Finding]:
    if residual_fraction > LARGEST_RESIDUAL_FRACTION:
        percent, allowed = 100.0 * residual_fraction, 100.0 * LARGEST_RESIDUAL_FRACTION
        yield Finding(
            "impedance.not_kramers_kronig",
            Severity.CAUTION,
            Message(
                f"Real and imaginary part do not belong together: Kramers–Kronig residual {percent:.1f} % (allowed: "
                f"{allowed:.0f} %). The battery was not at rest, or the leads were disturbed.",
                f"实部与虚部不相符：克拉默斯–克勒尼希残差为 {percent:.1f} %（允许 {allowed:.0f} %）。"
                "电池未静置，或接线受到干扰。",
            ),
            {"residual_fraction": residual_fraction, "allowed_fraction": LARGEST_RESIDUAL_FRACTION},
        )
