"""Where the delivery book of a record is: a file beside a file, a schema beside the tables."""

from pathlib import Path

from serving.trace.delivery_book import BookUnavailable, DeliveryBook
from serving.trace.delivery_book_sqlite import SqliteBookConnection

_POSTGRES = ("postgresql://", "postgres://")


def opened_book(record: str | Path) -> DeliveryBook:
    """Delivery book of a record; made if there is none.

    Parameters
    ----------
    record : str or Path
        The record: a file, or a ``postgresql://…`` address.

    Raises
    ------
    BookUnavailable
        If it cannot be written, or the PostgreSQL driver is not installed.
    """
    if not str(record).startswith(_POSTGRES):
        return DeliveryBook(SqliteBookConnection(Path(f"{record}.delivery")))
    try:
        from serving.trace.delivery_book_postgres import PostgresBookConnection  # noqa: PLC0415 - optional driver
    except ImportError as error:
        raise BookUnavailable(f"PostgreSQL needs its driver ({error}).", "Install packgrade[postgres].") from error
    return DeliveryBook(PostgresBookConnection(str(record)))
