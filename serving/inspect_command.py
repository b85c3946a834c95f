"""``packgrade inspect FILE``: what a file is, what was read, what was dropped and why.

Prints what `features.inspection_report` found; the plot is written only where it is asked for.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from features.errors import InvalidInput, Problem
from features.inspection_report import FileInspection, inspect_file
from serving.printing import error_text


def print_inspection(
    console: Console,
    path: Path,
    now: datetime,
    *,
    run_format: str = "",
    mapping: Path | None = None,
    battery_id: str | None = None,
    plot: Path | None = None,
    as_json: bool = False,
) -> bool:
    """Inspect a file and print the answer; returns whether it could be read.

    Raises
    ------
    InvalidInput
        If the file is absent, empty or damaged beyond saying what it is, or the plot is not to end in .svg.
    """
    if plot is not None and plot.suffix.lower() != ".svg":
        raise InvalidInput("The file was not read.", [Problem("plot", "must end in .svg", plot.name)])
    inspection = inspect_file(path, now, run_format, mapping, battery_id)
    if as_json:
        print(json.dumps(_as_json(inspection), ensure_ascii=False, indent=2))
    else:
        console.print(_as_text(inspection), highlight=False, soft_wrap=True)
    if plot is not None and (drawn := inspection.plot_svg()):
        plot.write_text(drawn, encoding="utf-8")
        if not as_json:
            console.print(Text(f"plot: {plot.name}"), highlight=False)
    return inspection.run is not None


def _as_text(inspection: FileInspection) -> Text:
    lines = [f"{inspection.file_name}  {inspection.byte_count} bytes", f"is        {inspection.kind.title}"]
    if inspection.run is None:
        why = str(error_text(inspection.refusal)) if inspection.refusal is not None else "no format reads it"
        return Text("\n".join([*lines, f"not read  {why}"]))
    table = inspection.run.table
    lines += [f"format    {inspection.kind.run_format}", f"read      {table.row_count} rows, {table.format.value}"]
    lines += [f"  {name:<30} {low:>14.6g} … {high:.6g}" for name, (low, high) in inspection.extents().items()]
    lines += [f"{each.severity.value:<9} {each.code}: {each.message.en}" for each in inspection.findings]
    return Text("\n".join(lines if inspection.findings else [*lines, "dropped   nothing"]))


def _as_json(inspection: FileInspection) -> dict[str, Any]:
    run = inspection.run
    refusal = inspection.refusal
    return {
        "file": inspection.file_name,
        "bytes": inspection.byte_count,
        "is": inspection.kind.title,
        "format": inspection.kind.run_format or None,
        "table": run.table.format.value if run is not None else None,
        "rows": run.table.row_count if run is not None else 0,
        "columns": {name: [low, high] for name, (low, high) in inspection.extents().items()},
        "findings": [
            {
                "code": each.code,
                "severity": each.severity.value,
                "message": {"en": each.message.en, "zh": each.message.zh},
                "evidence": dict(each.evidence),
            }
            for each in inspection.findings
        ],
        "refused": None if refusal is None else {"code": refusal.code, "message": str(refusal)},
    }
