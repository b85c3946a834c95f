"""Whether the real and the imaginary part of a spectrum can belong to one linear, resting battery.

The measurement model of Boukamp: a resistance, an inductance, a capacitance and a row of R‖C elements whose time
constants are given fit every spectrum that obeys the Kramers–Kronig relations, by linear least
squares. What such a model cannot follow was not measured on a battery at rest. Nothing here
interprets the elements.
"""

import numpy as np
import numpy.typing as npt

from features.measurement import FloatArray

_POINTS_PER_ELEMENT = 2.5
_MOST_ELEMENTS_PER_DECADE = 4.0


def relative_residuals(frequency_hertz: FloatArray, impedance_ohm: npt.NDArray[np.complex128]) -> FloatArray:
    """Distance of every point from the best Kramers–Kronig-consistent spectrum.

    Parameters
    ----------
    frequency_hertz : ndarray, shape (n,)
        Strictly increasing, at least three. [Hz]
    impedance_ohm : ndarray of complex, shape (n,)
        Without its inductive branch. [Ω]

    Returns
    -------
    ndarray, shape (n,)
        Absolute residual over absolute impedance.

    Raises
    ------
    ValueError
        If there are fewer than three points.

    Notes
    -----
    ``Z(ω) = R₀ + jωL + 1/(jωC) + Σ Rₖ / (1 + jωτₖ)``, τₖ spread evenly in log ω over the measured range, one
    element per 2.5 points and at most four per decade, so that noise is not followed. Weighted with
    1/|Z| (B. A. Boukamp, J. Electrochem. Soc. 142, 1885, 1995).

    Examples
    --------
    An R–RC circuit obeys the relations; the same arc with the real part of one point doubled does not.

    >>> hertz = np.logspace(-1, 3, 41)
    >>> arc = 0.001 + 0.002 / (1.0 + 2j * np.pi * hertz * 0.01)
    >>> bool(relative_residuals(hertz, arc).max() < 0.002)
    True
    >>> arc[20] += arc[20].real
    >>> int(np.argmax(relative_residuals(hertz, arc)))
    20
    """
    count = len(frequency_hertz)
    if count < 3:
        raise ValueError(f"A spectrum to check has at least three points, got {count}.")
    omega = 2.0 * np.pi * frequency_hertz
    decades = float(np.log10(omega[-1] / omega[0]))
    elements = int(max(2.0, min(count / _POINTS_PER_ELEMENT, _MOST_ELEMENTS_PER_DECADE * decades)))
    tau = np.geomspace(1.0 / omega[-1], 1.0 / omega[0], elements)
    columns = np.column_stack([np.ones(count), 1j * omega, 1.0 / (1j * omega), 1.0 / (1.0 + 1j * omega[:, None] * tau)])
    weighted = columns / np.abs(impedance_ohm)[:, None]
    target = impedance_ohm / np.abs(impedance_ohm)
    both, of_both = np.vstack([weighted.real, weighted.imag]), np.concatenate([target.real, target.imag])
    scale = np.abs(both).max(axis=0)
    weights = np.linalg.lstsq(both / scale, of_both, rcond=1e-10)[0] / scale
    residual: FloatArray = np.abs(weighted @ weights - target)
    return residual
