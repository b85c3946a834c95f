"""Where a record lies, a file or a database, and the store behind it.

A file path is a SQLite record; a ``postgresql://`` URL is a database. Its driver is imported only for
a URL, so an installation without it serves files.
"""

from pathlib import Path

from serving.record.sqlite import SqliteStore
from serving.record.store import RecordUnavailable, Store

RecordLocation = Path | str
"""File of a SQLite record, or ``postgresql://`` URL."""

_URL = ("postgresql://", "postgres://")


def record_location(text: str) -> RecordLocation:
    """Return what somebody named as the record: a URL as it is, anything else as a path."""
    return text if text.startswith(_URL) else Path(text)


def is_database(location: RecordLocation) -> bool:
    """Whether a location is a URL."""
    return isinstance(location, str) and location.startswith(_URL)


def opened_store(location: RecordLocation) -> Store:
    """Return the store of a location; nothing is opened or made yet.

    Raises
    ------
    RecordUnavailable
        If the location is a database and its driver is not installed.
    """
    if not is_database(location):
        return SqliteStore(Path(location))
    require_driver()
    from serving.record.postgres import PostgresStore  # noqa: PLC0415 - only a database needs the driver

    return PostgresStore(str(location))


def shown_location(location: RecordLocation) -> str:
    """Return a location as it may be told: a file's path, a database without user and password."""
    if not is_database(location):
        return str(location)
    require_driver()
    from serving.record.postgres import shown  # noqa: PLC0415 - as above

    return shown(str(location))


def require_driver() -> None:
    """See that the driver of PostgreSQL is installed.

    Raises
    ------
    RecordUnavailable
        If it is not.
    """
    try:
        import psycopg  # noqa: F401, PLC0415 - as above
    except ImportError as missing:
        raise RecordUnavailable(
            f"A record in PostgreSQL needs its driver ({missing}).",
            what_to_do="Install it: pip install 'packgrade[postgres]'.",
        ) from missing
