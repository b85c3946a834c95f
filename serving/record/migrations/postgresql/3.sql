-- Schema 3 of a record in PostgreSQL, the first there is: the tables of SQLite's schema 3 under the same names.
-- Triggers fire ALWAYS, so that a session in replica mode does not slip past them. A row that follows from a
-- leaf comes in the leaf's own transaction: its xmin says so.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the record is append-only: % on % is refused', TG_OP, TG_TABLE_NAME; END $$;

CREATE TABLE leaf (
    sequence bigint PRIMARY KEY CHECK (sequence >= 0),
    event_id text NOT NULL CHECK (length(event_id) = 32),
    kind text NOT NULL CHECK (kind <> ''),
    battery_id text CHECK (battery_id <> ''),
    battery_sequence bigint CHECK (battery_sequence >= 0),
    station text NOT NULL CHECK (station <> ''),
    station_sequence bigint NOT NULL CHECK (station_sequence >= 0),
    idempotency_key text NOT NULL CHECK (idempotency_key <> ''),
    leaf_sha256 text NOT NULL CHECK (length(leaf_sha256) = 64),
    leaf bytea NOT NULL CHECK (length(leaf) > 0),
    CHECK ((battery_id IS NULL) = (battery_sequence IS NULL))
);
ALTER TABLE leaf ALTER COLUMN leaf SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX leaf_by_event ON leaf (event_id);
CREATE UNIQUE INDEX leaf_by_battery ON leaf (battery_id, battery_sequence);
CREATE UNIQUE INDEX leaf_by_station ON leaf (station, station_sequence);
CREATE UNIQUE INDEX leaf_by_key ON leaf (station, idempotency_key);
CREATE INDEX leaf_by_kind ON leaf (kind, sequence);
CREATE FUNCTION require_next_leaf() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (SELECT coalesce(max(sequence) + 1, 0) FROM record.leaf) THEN
        RAISE EXCEPTION 'the record is append-only: a leaf follows the last one and replaces none';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER leaf_is_only_appended BEFORE INSERT ON leaf FOR EACH ROW EXECUTE FUNCTION require_next_leaf();
ALTER TABLE leaf ENABLE ALWAYS TRIGGER leaf_is_only_appended;
CREATE TRIGGER leaf_is_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON leaf
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE leaf ENABLE ALWAYS TRIGGER leaf_is_never_changed;

CREATE TABLE subtree (
    level bigint NOT NULL CHECK (level >= 0),
    place bigint NOT NULL CHECK (place >= 0),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, place)
);
CREATE TRIGGER subtree_is_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON subtree
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE subtree ENABLE ALWAYS TRIGGER subtree_is_never_changed;

CREATE TABLE checkpoint (
    size bigint PRIMARY KEY CHECK (size > 0),
    note text NOT NULL CHECK (note <> '')
);
CREATE FUNCTION require_growth() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.size IS DISTINCT FROM (SELECT max(sequence) + 1 FROM record.leaf)
        OR EXISTS (SELECT 1 FROM record.checkpoint WHERE size >= NEW.size) THEN
        RAISE EXCEPTION 'the record is append-only: a checkpoint covers all leaves and more than the last';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER checkpoint_only_grows BEFORE INSERT ON checkpoint FOR EACH ROW EXECUTE FUNCTION require_growth();
ALTER TABLE checkpoint ENABLE ALWAYS TRIGGER checkpoint_only_grows;
CREATE TRIGGER checkpoint_is_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoint
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE checkpoint ENABLE ALWAYS TRIGGER checkpoint_is_never_changed;

CREATE FUNCTION require_own_leaf() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM record.leaf WHERE sequence = NEW.sequence AND xmin = pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'the record is append-only: a row of % comes with its leaf', TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
CREATE TABLE outbox (
    sequence bigint PRIMARY KEY CHECK (sequence >= 0),
    battery_id text NOT NULL CHECK (battery_id <> ''),
    due_on text NOT NULL CHECK (length(due_on) = 10)
);
CREATE TRIGGER outbox_is_only_appended BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION require_own_leaf();
ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_is_only_appended;
CREATE TRIGGER outbox_is_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON outbox
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_is_never_changed;

CREATE TABLE link (
    sequence bigint NOT NULL CHECK (sequence >= 0),
    place bigint NOT NULL CHECK (place >= 0),
    relation text NOT NULL CHECK (relation IN ('part_of', 'became')),
    child_id text NOT NULL CHECK (child_id <> ''),
    parent_id text NOT NULL CHECK (parent_id <> ''),
    joined smallint NOT NULL CHECK (joined IN (0, 1)),
    PRIMARY KEY (sequence, place)
);
CREATE INDEX link_by_child ON link (child_id, relation);
CREATE INDEX link_by_parent ON link (parent_id, relation);
CREATE TRIGGER link_is_only_appended BEFORE INSERT ON link FOR EACH ROW EXECUTE FUNCTION require_own_leaf();
ALTER TABLE link ENABLE ALWAYS TRIGGER link_is_only_appended;
CREATE TRIGGER link_is_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON link
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE link ENABLE ALWAYS TRIGGER link_is_never_changed;

CREATE TABLE erasable (
    pseudonym text PRIMARY KEY CHECK (length(pseudonym) = 32),
    salt bytea NOT NULL CHECK (length(salt) = 16),
    kind text NOT NULL CHECK (kind <> ''),
    station text NOT NULL CHECK (station <> ''),
    value text NOT NULL CHECK (value <> '')
);
CREATE UNIQUE INDEX erasable_by_value ON erasable (kind, station, value);
CREATE TRIGGER erasable_is_never_changed BEFORE UPDATE OR TRUNCATE ON erasable
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE erasable ENABLE ALWAYS TRIGGER erasable_is_never_changed;
