"""One look for every page we write: a document that loads nothing, runs nothing and prints well.

Every text that comes from a file or a battery goes through `escaped` or `table`; what is already HTML
is handed over as such.
"""

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
body { font: 16px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; border-top: 2px solid #1b6ca8; padding-top: .6rem; }
h2 small { font-weight: normal; color: #5c6770; margin-left: .6rem; } svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, td.words { text-align: left; }
td { white-space: nowrap; } td.words + td.words, td.words:last-child { white-space: normal; overflow-wrap: anywhere; }
 .note { background: #f0f5fa; padding: .8rem 1rem; }
@media print { h2 { break-after: avoid; } svg, table { break-inside: avoid; } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole HTML document.

    Parameters
    ----------
    title : str
        Plain text; also the heading.
    body : iterable of str
        HTML.
    """
    shown = escape(title)
    head = f"<meta charset='utf-8'><title>{shown}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body><h1>{shown}</h1>{''.join(body)}</body></html>\n"


def heading(en: str, zh: str) -> str:
    """Return a heading in both languages."""
    return f"<h2>{escape(en)}<small lang='zh'>{escape(zh)}</small></h2>"


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def note(text: str) -> str:
    """Return a paragraph that stands out."""
    return f"<p class='note'>{escape(text)}</p>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; numbers as they are given, text cells escaped and to the left.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : iterable of sequences
        Cells; None is shown as a dash.

    Examples
    --------
    >>> table(["type", "cells"], [("<b>", 3)])
    "<table><tr><th>type</th><th>cells</th></tr><tr><td class='words'>&lt;b&gt;</td><td>3</td></tr></table>"
    """
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _cell(value: object) -> str:
    words = " class='words'" if isinstance(value, str) else ""
    return f"<td{words}>{'–' if value is None else escape(str(value))}</td>"
