"""Schema 3: kinds can be searched, rows that follow from leaves, personal data; the first in PostgreSQL."""

from alembic import op

from serving.record.migrations import statements

revision = "3"
down_revision = "2"


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
