"""Three charts as SVG: stacked bars, intervals in order, two distributions. Drawn here, never by a browser's script.

State of health runs over a fixed axis from 40 to 110 %, so that two reports can be laid side by side;
what lies outside is drawn at the edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from features.measurement import FloatArray

LOWEST_SHOWN, HIGHEST_SHOWN = 0.4, 1.1
"""State of health at the ends of the axis."""
MOST_INTERVALS = 240
_WIDTH, _LABEL_WIDTH, _BAR_HEIGHT, _PLOT_HEIGHT = 860, 260, 22, 200
_BIN_EDGES = np.round(np.arange(LOWEST_SHOWN, HIGHEST_SHOWN + 1e-9, 0.025), 3)
_COLOURS = ("#1b6ca8", "#d9822b")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar: how often, and in which colour."""

    name: str
    count: int
    colour: str


def stacked_bars(bars: Mapping[str, Sequence[Part]]) -> str:
    """Draw one bar of full width per name, its parts in proportion.

    Parameters
    ----------
    bars : mapping of str to sequence of Part
        Top to bottom.
    """
    shapes = []
    for number, (name, parts) in enumerate(bars.items()):
        top = number * (_BAR_HEIGHT + 10)
        total = sum(part.count for part in parts)
        shapes.append(_text(_LABEL_WIDTH - 8, top + 15, f"{name} ({total})", "end"))
        left, scale = float(_LABEL_WIDTH), (_WIDTH - _LABEL_WIDTH) / max(total, 1)
        for part in parts:
            width = part.count * scale
            told = escape(f"{part.name}: {part.count} of {total}")
            shapes.append(f"<g><title>{told}</title>{_rectangle(left, top, width, _BAR_HEIGHT, part.colour)}</g>")
            if width > 9 * len(part.name) + 8:
                shapes.append(_text(left + width / 2, top + 15, part.name, "middle", "#fff"))
            left += width
    return _svg(len(bars) * (_BAR_HEIGHT + 10), shapes)


def ordered_intervals(lower: FloatArray, point: FloatArray, upper: FloatArray, cuts: Sequence[float]) -> str:
    """Draw intervals in the order of their points, at most `MOST_INTERVALS` evenly chosen ones, and the cuts.

    Parameters
    ----------
    lower, point, upper : ndarray, shape (n,)
        State of health.
    cuts : sequence of float
        State of health of the policy's cuts.
    """
    order = np.argsort(point, kind="stable")
    order = order[np.linspace(0, len(order) - 1, min(len(order), MOST_INTERVALS)).astype(int)]
    step = (_WIDTH - 60) / max(len(order), 1)
    shapes = _health_axis(cuts)
    for number, row in enumerate(order):
        x = 55 + (number + 0.5) * step
        low, middle, high = (_height(float(values[row])) for values in (lower, point, upper))
        shapes.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="#9bb8cc" stroke-width="{min(step, 4):.1f}"/>')
        shapes.append(f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="{min(max(step / 2, 1), 3):.1f}" fill="#1b6ca8"/>')
    return _svg(_PLOT_HEIGHT + 20, shapes)


def two_distributions(ours: FloatArray, theirs: FloatArray, names: tuple[str, str]) -> str:
    """Draw the shares of two sets of batteries per 2.5 % of state of health, side by side.

    Parameters
    ----------
    ours, theirs : ndarray, shape (n,), shape (m,)
        State of health; not empty.
    names : (str, str)
        What the two sets are.
    """
    shares = [_shares(values) for values in (ours, theirs)]
    highest, bins = max(float(each.max()) for each in shares), len(_BIN_EDGES) - 1
    step = (_WIDTH - 60) / bins
    shapes = [_text(60 + 300 * number, 14, name, "start", _COLOURS[number]) for number, name in enumerate(names)]
    for number, share in enumerate(shares):
        for place, value in enumerate(share):
            tall = 130 * float(value) / highest
            x = 30 + place * step + number * step * 0.45
            shapes.append(_rectangle(x, 155 - tall, step * 0.42, tall, _COLOURS[number]))
    marks = range(0, bins + 1, 4)
    shapes += [_text(30 + each * step, 172, f"{100 * _BIN_EDGES[each]:.0f} %", "middle") for each in marks]
    return _svg(180, shapes)


def _shares(values: FloatArray) -> FloatArray:
    counts, _ = np.histogram(np.clip(values, LOWEST_SHOWN, HIGHEST_SHOWN), _BIN_EDGES)
    shares: FloatArray = counts / len(values)
    return shares


def _health_axis(cuts: Sequence[float]) -> list[str]:
    shapes = [_text(48, _height(mark) + 4, f"{100 * mark:.0f} %", "end") for mark in (0.4, 0.6, 0.8, 1.0)]
    for cut in cuts:
        y = _height(cut)
        shapes.append(f'<path d="M55 {y:.1f}H{_WIDTH}" stroke="#b03a2e" stroke-dasharray="4 4"/>')
    return shapes


def _height(state_of_health: float) -> float:
    shown = min(max(state_of_health, LOWEST_SHOWN), HIGHEST_SHOWN)
    return 10 + _PLOT_HEIGHT * (HIGHEST_SHOWN - shown) / (HIGHEST_SHOWN - LOWEST_SHOWN)


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#1c1c1c") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _svg(height: float, shapes: Sequence[str]) -> str:
    box = f'viewBox="0 0 {_WIDTH} {height:g}" font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {box}>{"".join(shapes)}</svg>'
