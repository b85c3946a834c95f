"""Tables and statements of the delivery book, in the SQL that SQLite and PostgreSQL share.

Names of values are written ``:name``. `concern` holds, of every event that is not delivered, the batteries it
names: the queues in which it stands. It is sent when it is the first in all of them. That no two events
filed under one battery have their turn at once is a unique index besides.
"""

BOOK_VERSION = 2

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS book (version INTEGER PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS event (
        sequence BIGINT PRIMARY KEY CHECK (sequence >= 0),
        battery_id TEXT NOT NULL,
        due_on TEXT NOT NULL,
        leaf_sha256 TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'ready', 'refused', 'delivered')),
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at TEXT CHECK ((next_attempt_at IS NULL) = (state <> 'ready')),
        last_error TEXT,
        delivered_at TEXT CHECK ((delivered_at IS NULL) = (state <> 'delivered')),
        answer_id TEXT
    )""",
    """CREATE TABLE IF NOT EXISTS concern (
        battery_id TEXT NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (battery_id, sequence)
    )""",
    "CREATE INDEX IF NOT EXISTS by_event ON concern (sequence)",
    "CREATE UNIQUE INDEX IF NOT EXISTS one_turn ON event (battery_id) WHERE state IN ('ready', 'refused')",
    "CREATE INDEX IF NOT EXISTS by_attempt ON event (next_attempt_at, sequence) WHERE state = 'ready'",
    "CREATE INDEX IF NOT EXISTS by_due_date ON event (due_on, sequence) WHERE state <> 'delivered'",
)

UPGRADE = (
    "INSERT INTO concern SELECT battery_id, sequence FROM event WHERE state <> 'delivered' ON CONFLICT DO NOTHING",
    "DROP INDEX IF EXISTS undelivered",
    "UPDATE book SET version = 2",
)
"""From version 1, where an event stood in the queue of its own battery alone: what was taken up goes so."""

COLUMNS = "sequence, battery_id, due_on, leaf_sha256, state, attempts, next_attempt_at, last_error"
CONCERN = """INSERT INTO concern (battery_id, sequence) SELECT :battery_id, :sequence
    WHERE NOT EXISTS (SELECT 1 FROM event WHERE sequence = :sequence) ON CONFLICT DO NOTHING"""
TAKE_UP = """INSERT INTO event (sequence, battery_id, due_on, leaf_sha256, state, next_attempt_at)
    SELECT :sequence, :battery_id, :due_on, :leaf_sha256, taken.state,
           CASE WHEN taken.state = 'ready' THEN CAST(:now AS TEXT) END
    FROM (SELECT CASE WHEN EXISTS (SELECT 1 FROM concern AS own WHERE own.sequence = :sequence AND own.sequence >
                                   (SELECT min(first.sequence) FROM concern AS first
                                    WHERE first.battery_id = own.battery_id))
                      THEN 'waiting' ELSE 'ready' END AS state) AS taken
    WHERE true ON CONFLICT (sequence) DO NOTHING"""
DELIVERED = """UPDATE event SET state = 'delivered', attempts = attempts + 1, next_attempt_at = NULL,
    last_error = NULL, delivered_at = :now, answer_id = :answer_id WHERE sequence = :sequence AND state = 'ready'"""
BEHIND = """SELECT (SELECT min(later.sequence) FROM concern AS later
            WHERE later.battery_id = done.battery_id AND later.sequence > done.sequence)
    FROM concern AS done WHERE done.sequence = :sequence"""
NEXT_TURN = """UPDATE event SET state = 'ready', next_attempt_at = :now WHERE sequence = :sequence AND state = 'waiting'
    AND NOT EXISTS (SELECT 1 FROM concern AS own WHERE own.sequence = :sequence AND own.sequence >
                    (SELECT min(first.sequence) FROM concern AS first WHERE first.battery_id = own.battery_id))"""
CONCERN_NO_MORE = "DELETE FROM concern WHERE sequence = :sequence"
LATER = """UPDATE event SET attempts = attempts + 1, next_attempt_at = :next_attempt_at, last_error = :last_error
    WHERE sequence = :sequence AND state = 'ready'"""
REFUSED = """UPDATE event SET state = 'refused', attempts = attempts + 1, next_attempt_at = NULL,
    last_error = :last_error WHERE sequence = :sequence AND state = 'ready'"""
AGAIN = "UPDATE event SET state = 'ready', next_attempt_at = :now WHERE state IN ('ready', 'refused')"
OF_BATTERY = " AND sequence IN (SELECT sequence FROM concern WHERE battery_id = :battery_id)"
