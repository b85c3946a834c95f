"""Every vendor file of the development data: rows, seconds, MB/s and findings, as a Markdown table.

``python -m benchmarks.formats [--folder FOLDER] [--out docs/formats.md]`` reads each file as what its
content shows, the way ``packgrade inspect`` does, and prints one line per file. The folder is
``vendor_files`` below PACKGRADE_DATA_DIR unless it is named.
"""

import argparse
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from features.errors import InvalidInput
from features.inspection_report import FileInspection, inspect_file
from features.readers.tester_formats import TABLE_FORMATS

HEAD = """# Files of testers

Printed by `python -m benchmarks.formats`. `format` is the word for `--run format=…`; a file that no word reads is
listed with the reason. Findings are codes; `packgrade inspect FILE` prints them in words.

| file | bytes | format | rows | s | MB/s | findings or reason |
|---|---:|---|---:|---:|---:|---|"""


def lines(folder: Path) -> Iterator[str]:
    """One table row per file below a folder."""
    for path in sorted(each for each in folder.glob("*/*") if each.is_file()):
        begin = time.perf_counter()
        try:
            inspection = inspect_file(path, datetime.now(UTC))
        except InvalidInput as error:
            yield f"| {_short(path)} | {path.stat().st_size} | – | – | – | – | {error.problems[0].rule} |"
            continue
        yield _line(path, inspection, time.perf_counter() - begin)


def _line(path: Path, inspection: FileInspection, seconds: float) -> str:
    size = f"| {_short(path)} | {inspection.byte_count} |"
    if inspection.run is None:
        why = inspection.refusal.problems[0].rule if inspection.refusal is not None else inspection.kind.title
        return f"{size} {inspection.kind.run_format or '–'} | – | – | – | {why.replace('|', '/')} |"
    codes = ", ".join(each.code for each in inspection.findings) or "none"
    rows, rate = inspection.run.table.row_count, inspection.byte_count / 1e6 / seconds
    return f"{size} {inspection.kind.run_format} | {rows} | {seconds:.3f} | {rate:.1f} | {codes} |"


def _short(path: Path) -> str:
    name = path.name if len(path.name) <= 48 else f"{path.name[:30]}…{path.name[-16:]}"
    return f"{path.parent.name}/{name}"


def headings() -> Iterator[str]:
    """Which headings each format word looks for."""
    yield "\n## Headings\n\nBy key: lower case, without spaces, underscores and unit.\n"
    yield "| format | time | voltage | current | state |\n|---|---|---|---|---|"
    for source in TABLE_FORMATS.values():
        cells = [
            ", ".join(source.columns[each].keys).replace("|", "\\|") if each in source.columns else "–"
            for each in ("test_time", "voltage", "current", "state")
        ]
        yield f"| {source.word} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("PACKGRADE_DATA_DIR", ".")) / "vendor_files")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = "\n".join([HEAD, *lines(options.folder), *headings()]) + "\n"
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
