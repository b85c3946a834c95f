-- Roles for a record in PostgreSQL. Run once in its database, as the owner of the tables, after
-- `packgrade` made the record there (or `packgrade record upgrade` changed its schema).
-- The service connects as packgrade_writer, auditors as packgrade_auditor; give them passwords of your own.
CREATE ROLE packgrade_writer LOGIN;
CREATE ROLE packgrade_auditor LOGIN;
GRANT USAGE ON SCHEMA record TO packgrade_writer, packgrade_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA record TO packgrade_writer, packgrade_auditor;
GRANT INSERT ON record.leaf, record.subtree, record.checkpoint, record.outbox, record.link, record.erasable
TO packgrade_writer;
GRANT DELETE ON record.erasable TO packgrade_writer;
