-- Schema 3 of a record in SQLite: the kind of a leaf can be searched; rows that follow from leaves (outbox,
-- links between batteries); personal data that can be erased. Every leaf is copied byte for byte: SQLite
-- cannot add the column and keep the statement that made the table as it stands in a new record.
DROP TRIGGER checkpoint_only_grows;
ALTER TABLE leaf RENAME TO leaf_of_schema_2;
CREATE TABLE leaf (
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 0),
    event_id TEXT NOT NULL CHECK (length(event_id) = 32),
    kind TEXT NOT NULL CHECK (kind <> ''),
    battery_id TEXT CHECK (battery_id <> ''),
    battery_sequence INTEGER CHECK (battery_sequence >= 0),
    station TEXT NOT NULL CHECK (station <> ''),
    station_sequence INTEGER NOT NULL CHECK (station_sequence >= 0),
    idempotency_key TEXT NOT NULL CHECK (idempotency_key <> ''),
    leaf_sha256 TEXT NOT NULL CHECK (length(leaf_sha256) = 64),
    leaf BLOB NOT NULL CHECK (length(leaf) > 0),
    CHECK ((battery_id IS NULL) = (battery_sequence IS NULL))
) STRICT;
INSERT INTO leaf
SELECT sequence, event_id, json_extract(CAST(leaf AS TEXT), '$.kind'), battery_id, battery_sequence,
    station, station_sequence, idempotency_key, leaf_sha256, leaf
FROM leaf_of_schema_2 ORDER BY sequence;
DROP TABLE leaf_of_schema_2;
CREATE UNIQUE INDEX leaf_by_event ON leaf (event_id);
CREATE UNIQUE INDEX leaf_by_battery ON leaf (battery_id, battery_sequence);
CREATE UNIQUE INDEX leaf_by_station ON leaf (station, station_sequence);
CREATE UNIQUE INDEX leaf_by_key ON leaf (station, idempotency_key);
CREATE INDEX leaf_by_kind ON leaf (kind, sequence);
CREATE TRIGGER leaf_is_never_updated BEFORE UPDATE ON leaf
BEGIN SELECT raise(ABORT, 'the record is append-only: a leaf is never updated'); END;
CREATE TRIGGER leaf_is_never_deleted BEFORE DELETE ON leaf
BEGIN SELECT raise(ABORT, 'the record is append-only: a leaf is never deleted'); END;
CREATE TRIGGER leaf_is_only_appended BEFORE INSERT ON leaf
WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence) + 1, 0) FROM leaf)
  OR EXISTS (SELECT 1 FROM leaf WHERE event_id = NEW.event_id)
  OR EXISTS (SELECT 1 FROM leaf WHERE battery_id = NEW.battery_id AND battery_sequence = NEW.battery_sequence)
  OR EXISTS (SELECT 1 FROM leaf WHERE station = NEW.station AND station_sequence = NEW.station_sequence)
  OR EXISTS (SELECT 1 FROM leaf WHERE station = NEW.station AND idempotency_key = NEW.idempotency_key)
BEGIN SELECT raise(ABORT, 'the record is append-only: a leaf follows the last one and replaces none'); END;
CREATE TRIGGER checkpoint_only_grows BEFORE INSERT ON checkpoint
WHEN NEW.size IS NOT (SELECT max(sequence) + 1 FROM leaf) OR EXISTS (SELECT 1 FROM checkpoint WHERE size >= NEW.size)
BEGIN SELECT raise(ABORT, 'the record is append-only: a checkpoint covers all leaves and more than the last'); END;
CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 0),
    battery_id TEXT NOT NULL CHECK (battery_id <> ''),
    due_on TEXT NOT NULL CHECK (length(due_on) = 10)
) STRICT;
CREATE TRIGGER outbox_is_never_updated BEFORE UPDATE ON outbox
BEGIN SELECT raise(ABORT, 'the record is append-only: a row of the outbox is never updated'); END;
CREATE TRIGGER outbox_is_never_deleted BEFORE DELETE ON outbox
BEGIN SELECT raise(ABORT, 'the record is append-only: a row of the outbox is never deleted'); END;
CREATE TRIGGER outbox_is_only_appended BEFORE INSERT ON outbox
WHEN NEW.sequence IS NOT (SELECT max(sequence) FROM leaf) OR EXISTS (SELECT 1 FROM outbox WHERE sequence = NEW.sequence)
BEGIN SELECT raise(ABORT, 'the record is append-only: a row of the outbox comes with its leaf and replaces none'); END;
CREATE TABLE link (
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    place INTEGER NOT NULL CHECK (place >= 0),
    relation TEXT NOT NULL CHECK (relation IN ('part_of', 'became')),
    child_id TEXT NOT NULL CHECK (child_id <> ''),
    parent_id TEXT NOT NULL CHECK (parent_id <> ''),
    joined INTEGER NOT NULL CHECK (joined IN (0, 1)),
    PRIMARY KEY (sequence, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_by_child ON link (child_id, relation);
CREATE INDEX link_by_parent ON link (parent_id, relation);
CREATE TRIGGER link_is_never_updated BEFORE UPDATE ON link
BEGIN SELECT raise(ABORT, 'the record is append-only: a link is never updated'); END;
CREATE TRIGGER link_is_never_deleted BEFORE DELETE ON link
BEGIN SELECT raise(ABORT, 'the record is append-only: a link is never deleted'); END;
CREATE TRIGGER link_is_only_appended BEFORE INSERT ON link
WHEN NEW.sequence IS NOT (SELECT max(sequence) FROM leaf)
  OR EXISTS (SELECT 1 FROM link WHERE sequence = NEW.sequence AND place = NEW.place)
BEGIN SELECT raise(ABORT, 'the record is append-only: a link comes with its leaf and replaces none'); END;
CREATE TABLE erasable (
    pseudonym TEXT PRIMARY KEY CHECK (length(pseudonym) = 32),
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    kind TEXT NOT NULL CHECK (kind <> ''),
    station TEXT NOT NULL CHECK (station <> ''),
    value TEXT NOT NULL CHECK (value <> '')
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX erasable_by_value ON erasable (kind, station, value);
CREATE TRIGGER erasable_is_never_updated BEFORE UPDATE ON erasable
BEGIN SELECT raise(ABORT, 'personal data is erased or kept, never updated'); END;
CREATE TRIGGER erasable_is_only_added BEFORE INSERT ON erasable
WHEN EXISTS (SELECT 1 FROM erasable WHERE pseudonym = NEW.pseudonym)
  OR EXISTS (SELECT 1 FROM erasable WHERE kind = NEW.kind AND station = NEW.station AND value = NEW.value)
BEGIN SELECT raise(ABORT, 'personal data is erased or kept, never replaced'); END;
