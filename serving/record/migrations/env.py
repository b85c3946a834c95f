"""What alembic runs: the migrations, on the connection and inside the transaction of `upgrade`."""

from alembic import context

if hasattr(context, "config"):  # only while alembic runs it; whoever merely imports it migrates nothing
    context.configure(connection=context.config.attributes["connection"], version_table="alembic_version")
    context.run_migrations()
