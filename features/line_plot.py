"""A small line plot as SVG, drawn by a few lines of our own.

Two stacked panels at most read well at this size. A long record is drawn by the lowest and highest
value of each pixel column, so that a pulse of one sample stays visible. No text of a file goes in
unescaped.
"""

from dataclasses import dataclass
from html import escape

import numpy as np

from features.measurement import FloatArray

WIDTH, PANEL_HEIGHT, MARGIN = 720, 150, 60


@dataclass(frozen=True)
class Panel:
    """One curve with its own axis.

    Attributes
    ----------
    label : str
        Quantity and unit.
    values : ndarray, shape (n,)
        Values; NaN leaves a gap.
    """

    label: str
    values: FloatArray


def svg_plot(title: str, x_label: str, x: FloatArray, panels: list[Panel]) -> str:
    """Draw curves over a common axis.

    Parameters
    ----------
    title, x_label : str
        Words.
    x : ndarray, shape (n,)
        Not falling.
    panels : list of Panel
        Curves, top to bottom.

    Returns
    -------
    str
        An SVG document.
    """
    height = 40 + len(panels) * (PANEL_HEIGHT + 20) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 2 * MARGIN} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<text x="{MARGIN}" y="22" font-size="14">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts.append(_panel_svg(panel, x, 40 + number * (PANEL_HEIGHT + 20)))
    ends = f"{x_label}: {x[0]:g} … {x[-1]:g}"
    parts.append(f'<text x="{MARGIN}" y="{height - 12}">{escape(ends)}</text></svg>')
    return "\n".join(parts)


def _panel_svg(panel: Panel, x: FloatArray, top: int) -> str:
    known = panel.values[np.isfinite(panel.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in _pixels(x, panel.values, low, high))
    return (
        f'<g transform="translate({MARGIN} {top})">'
        f'<rect width="{WIDTH}" height="{PANEL_HEIGHT}" fill="none" stroke="#bbb"/>'
        f'<text x="-6" y="10" text-anchor="end">{high:.4g}</text>'
        f'<text x="-6" y="{PANEL_HEIGHT}" text-anchor="end">{low:.4g}</text>'
        f'<text x="6" y="16" fill="#555">{escape(panel.label)}</text>'
        f'<polyline fill="none" stroke="#1f5fa8" stroke-width="1.2" points="{points}"/></g>'
    )


def _pixels(x: FloatArray, values: FloatArray, low: float, high: float) -> list[tuple[float, float]]:
    kept = _extremes(x, values)
    span_x, span_y = float(x[-1] - x[0]) or 1.0, (high - low) or 1.0
    across = (x[kept] - x[0]) / span_x * WIDTH
    down = PANEL_HEIGHT - 4 - (values[kept] - low) / span_y * (PANEL_HEIGHT - 8)
    return list(zip(across.tolist(), down.tolist(), strict=True))


def _extremes(x: FloatArray, values: FloatArray) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Rows of the lowest and highest value of every pixel column, in order."""
    rows = np.flatnonzero(np.isfinite(values)).astype(np.int64)
    if len(rows) <= 4 * WIDTH:
        return rows
    column = np.floor((x[rows] - x[0]) / (float(x[-1] - x[0]) or 1.0) * (WIDTH - 1)).astype(np.int64)
    order = np.lexsort((values[rows], column))
    begins = np.flatnonzero(np.diff(column[order], prepend=-1))
    ends = np.append(begins[1:], len(order)) - 1
    return np.unique(np.concatenate([rows[order[begins]], rows[order[ends]]]))
