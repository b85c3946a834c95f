"""Tables and statements of the delivery book, in the SQL that SQLite and PostgreSQL share.

Names of values are written ``:name``. That a battery has one turn at most is a unique index.
"""

BOOK_VERSION = 1

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
    "CREATE UNIQUE INDEX IF NOT EXISTS one_turn ON event (battery_id) WHERE state IN ('ready', 'refused')",
    "CREATE INDEX IF NOT EXISTS by_attempt ON event (next_attempt_at, sequence) WHERE state = 'ready'",
    "CREATE INDEX IF NOT EXISTS undelivered ON event (battery_id, sequence) WHERE state <> 'delivered'",
    "CREATE INDEX IF NOT EXISTS by_due_date ON event (due_on, sequence) WHERE state <> 'delivered'",
)

COLUMNS = "sequence, battery_id, due_on, leaf_sha256, state, attempts, next_attempt_at, last_error"
TAKE_UP = """INSERT INTO event (sequence, battery_id, due_on, leaf_sha256, state, next_attempt_at)
    SELECT :sequence, :battery_id, :due_on, :leaf_sha256, taken.state,
           CASE WHEN taken.state = 'ready' THEN CAST(:now AS TEXT) END
    FROM (SELECT CASE WHEN EXISTS (SELECT 1 FROM event WHERE battery_id = :battery_id AND state <> 'delivered')
                      THEN 'waiting' ELSE 'ready' END AS state) AS taken
    WHERE true ON CONFLICT (sequence) DO NOTHING"""
DELIVERED = """UPDATE event SET state = 'delivered', attempts = attempts + 1, next_attempt_at = NULL,
    last_error = NULL, delivered_at = :now, answer_id = :answer_id WHERE sequence = :sequence AND state = 'ready'"""
NEXT_TURN = """UPDATE event SET state = 'ready', next_attempt_at = :now WHERE sequence =
    (SELECT min(sequence) FROM event WHERE battery_id = :battery_id AND state <> 'delivered') AND state = 'waiting'"""
LATER = """UPDATE event SET attempts = attempts + 1, next_attempt_at = :next_attempt_at, last_error = :last_error
    WHERE sequence = :sequence AND state = 'ready'"""
REFUSED = """UPDATE event SET state = 'refused', attempts = attempts + 1, next_attempt_at = NULL,
    last_error = :last_error WHERE sequence = :sequence AND state = 'ready'"""
AGAIN = "UPDATE event SET state = 'ready', next_attempt_at = :now WHERE state IN ('ready', 'refused')"
