"""Somebody who can write the record's file and has stolen its key: makes a changed log agree with itself again."""

import sqlite3

from serving.record.checkpoint import Checkpoint, SignerKey
from serving.record.merkle import completed_subtrees, leaf_hash, root


def reseal(connection: sqlite3.Connection, key: SignerKey) -> None:
    """Rebuild every subtree over the stored leaves and sign one checkpoint over all of them."""
    connection.execute("DELETE FROM subtree")
    connection.execute("DELETE FROM checkpoint")
    kept: dict[tuple[int, int], bytes] = {}
    stored = [row[0] for row in connection.execute("SELECT leaf FROM leaf ORDER BY sequence")]
    for index, leaf in enumerate(stored):
        for level, place, hashed in completed_subtrees(index, leaf_hash(leaf), lambda *where: kept[where]):
            kept[level, place] = hashed
    rows = [(level, place, hashed) for (level, place), hashed in kept.items()]
    connection.executemany("INSERT INTO subtree VALUES (?, ?, ?)", rows)
    head = Checkpoint(key.name, len(stored), root(len(stored), lambda *where: kept[where]))
    connection.execute("INSERT INTO checkpoint VALUES (?, ?)", (head.size, key.sign(head)))
