"""Schema 2: leaves, the tree over them and signed checkpoints; the first with signatures, in SQLite alone."""

from alembic import op

from serving.record.migrations import statements

revision = "2"
down_revision = None


def upgrade() -> None:
    """Run the script of this version."""
    connection = op.get_bind().execution_options(no_parameters=True)
    for statement in statements(connection.dialect.name, int(revision)):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    """Refuse: a record only grows.

    Raises
    ------
    NotImplementedError
        Always.
    """
    raise NotImplementedError("A record is not taken back to an older schema; restore the backup.")
