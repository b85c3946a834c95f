"""A process whose files may not grow beyond a limit, as on a full disk, until the limit is lifted.

``python -m tests.support.fault_full_disk RECORD`` appends numbered entries until one is refused, tries
to write on, lifts the limit, sends the refused entry again, and prints a line for each step.
"""

import resource
import sys
from pathlib import Path

from features.errors import PackGradeError
from serving.record.ledger import Ledger
from tests.support.record_entries import new_entry

ROOM_BYTE = 400_000


def main(path: Path) -> None:
    """Fill, be refused, get room, go on."""
    with Ledger.open(path, "0.1.0") as ledger:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTE, most))
        number = 0
        while (told := _told(ledger, number)).startswith("told"):
            print(told)
            number += 1
        print(told)
        print(_writable(ledger))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        print(_told(ledger, number))
        print(_writable(ledger))


def _told(ledger: Ledger, number: int) -> str:
    try:
        recorded = ledger.append(new_entry(number, body={"number": number, "filling": "x" * 5000}))
    except PackGradeError as refused:
        return f"refused {refused.code} {number}"
    return f"told {recorded.leaf.idempotency_key} {recorded.leaf.sequence} {recorded.leaf_sha256}"


def _writable(ledger: Ledger) -> str:
    try:
        ledger.require_writable()
    except PackGradeError as refused:
        return f"not writable: {refused.code}"
    return "writable"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
