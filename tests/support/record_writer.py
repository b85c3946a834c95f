"""A worker process that appends the same numbered entries as every other one and says what was acknowledged.

``python -m tests.support.record_writer RECORD FIRST_NUMBER`` prints a line per acknowledged entry:
key, event, index and digest. It ends when it is killed.
"""

import itertools
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving.record.ledger import Ledger
from tests.support.record_entries import new_entry

THREADS = 4


def main(path: Path, first_number: int) -> None:
    """Append without end, from a few threads at once."""
    ledger = Ledger.open(path, "0.1.0")

    def send(number: int) -> str:
        recorded = ledger.append(new_entry(number, event_id=uuid.uuid4().hex))
        leaf = recorded.leaf
        return f"{leaf.station} {leaf.idempotency_key} {leaf.event_id} {leaf.sequence} {recorded.leaf_sha256}\n"

    with ThreadPoolExecutor(THREADS) as threads:
        for group in itertools.count(first_number, THREADS):
            for line in threads.map(send, range(group, group + THREADS)):
                sys.stdout.write(line)
                sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
