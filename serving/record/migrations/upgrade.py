"""Bring a record of an earlier release to the schema of this one, where it stands, in one transaction.

Asked for by name (``packgrade record upgrade``) and never done by a service. Leaves, subtrees and
checkpoints stay byte for byte. alembic and SQLAlchemy are imported only when an upgrade runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.record.chain_check import RecordProblem
from serving.record.location import RecordLocation, is_database, require_driver, shown_location
from serving.record.migrations import SCHEMA_VERSION
from serving.record.store import RecordUnavailable, other_schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

_UNCHANGED = "The record was left as it was."


def upgraded(location: RecordLocation) -> tuple[int, int]:
    """Upgrade a record; returns its schema version before and after.

    Raises
    ------
    RecordUnavailable
        If there is no record, it is of a newer release or damaged, or it cannot be written; it is
        left as it was.
    """
    if is_database(location):
        require_driver()
        from serving.record.postgres_upgrade import upgraded_database  # noqa: PLC0415 - only a URL needs the driver

        return upgraded_database(str(location))
    from serving.record.sqlite_upgrade import upgraded_file  # noqa: PLC0415 - only here

    return upgraded_file(Path(location))


@contextmanager
def migration_transaction(driver_connection: Any, dialect: str, begin: str) -> Iterator["Connection"]:
    """Open one transaction for migrations on a connection of the driver; committed on leaving normally."""
    from sqlalchemy import create_engine  # noqa: PLC0415 - as the module says
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    engine = create_engine(dialect, creator=lambda: driver_connection, poolclass=StaticPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(begin)
        yield connection


def run_missing(connection: "Connection", location: RecordLocation, version: int) -> None:
    """Run what leads from a version to that of this release, inside the open transaction.

    Raises
    ------
    RecordUnavailable
        If the version is a newer one.
    """
    from alembic import command  # noqa: PLC0415 - as the module says
    from alembic.config import Config  # noqa: PLC0415

    if version > SCHEMA_VERSION:
        raise other_schema(shown_location(location), version)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, str(SCHEMA_VERSION))


def require_expected(location: RecordLocation, problems: Iterator[RecordProblem]) -> None:
    """See, before the commit, that the schema is now that of a new record.

    Raises
    ------
    RecordUnavailable
        Naming the first difference.
    """
    for problem in problems:
        raise unusable(location, f"{problem}")


def unusable(location: RecordLocation, cause: object) -> RecordUnavailable:
    """Return the refusal of a record that cannot be upgraded."""
    told = " ".join(str(getattr(cause, "orig", cause)).split())
    what = f"The record {shown_location(location)} cannot be upgraded: {told}."
    return RecordUnavailable(what, _UNCHANGED, "Look into it; a record that verifies can be upgraded.")
