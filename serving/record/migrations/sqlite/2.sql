-- Schema 2 of a record in SQLite: leaves, full subtrees of the tree over them, signed checkpoints.
-- The insert triggers also stop INSERT OR REPLACE, which deletes without firing the delete trigger.
CREATE TABLE leaf (
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 0),
    event_id TEXT NOT NULL CHECK (length(event_id) = 32),
    battery_id TEXT CHECK (battery_id <> ''),
    battery_sequence INTEGER CHECK (battery_sequence >= 0),
    station TEXT NOT NULL CHECK (station <> ''),
    station_sequence INTEGER NOT NULL CHECK (station_sequence >= 0),
    idempotency_key TEXT NOT NULL CHECK (idempotency_key <> ''),
    leaf_sha256 TEXT NOT NULL CHECK (length(leaf_sha256) = 64),
    leaf BLOB NOT NULL CHECK (length(leaf) > 0),
    CHECK ((battery_id IS NULL) = (battery_sequence IS NULL))
) STRICT;
CREATE UNIQUE INDEX leaf_by_event ON leaf (event_id);
CREATE UNIQUE INDEX leaf_by_battery ON leaf (battery_id, battery_sequence);
CREATE UNIQUE INDEX leaf_by_station ON leaf (station, station_sequence);
CREATE UNIQUE INDEX leaf_by_key ON leaf (station, idempotency_key);
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
CREATE TABLE subtree (
    level INTEGER NOT NULL CHECK (level >= 0),
    place INTEGER NOT NULL CHECK (place >= 0),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, place)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER subtree_is_never_updated BEFORE UPDATE ON subtree
BEGIN SELECT raise(ABORT, 'the record is append-only: a subtree is never updated'); END;
CREATE TRIGGER subtree_is_never_deleted BEFORE DELETE ON subtree
BEGIN SELECT raise(ABORT, 'the record is append-only: a subtree is never deleted'); END;
CREATE TRIGGER subtree_is_only_added BEFORE INSERT ON subtree
WHEN EXISTS (SELECT 1 FROM subtree WHERE level = NEW.level AND place = NEW.place)
BEGIN SELECT raise(ABORT, 'the record is append-only: a subtree replaces none'); END;
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY CHECK (size > 0),
    note TEXT NOT NULL CHECK (note <> '')
) STRICT;
CREATE TRIGGER checkpoint_is_never_updated BEFORE UPDATE ON checkpoint
BEGIN SELECT raise(ABORT, 'the record is append-only: a checkpoint is never updated'); END;
CREATE TRIGGER checkpoint_is_never_deleted BEFORE DELETE ON checkpoint
BEGIN SELECT raise(ABORT, 'the record is append-only: a checkpoint is never deleted'); END;
CREATE TRIGGER checkpoint_only_grows BEFORE INSERT ON checkpoint
WHEN NEW.size IS NOT (SELECT max(sequence) + 1 FROM leaf) OR EXISTS (SELECT 1 FROM checkpoint WHERE size >= NEW.size)
BEGIN SELECT raise(ABORT, 'the record is append-only: a checkpoint covers all leaves and more than the last'); END;
