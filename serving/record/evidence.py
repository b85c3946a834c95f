"""A record opened to be looked at: nothing it says is changed, and hostile content is kept on a leash.

A file at rest is opened as immutable, without a lock and without a file appearing beside it. A file
with a write-ahead log is read in place together with it; where the folder refuses that (read-only
media), a private copy of both is read instead.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

LARGEST_VALUE_BYTE = 64 * 2**20
"""A stored value beyond this is an error, not an allocation. [byte]"""


def is_at_rest(path: Path) -> bool:
    """Whether nobody writes: the file has neither a write-ahead log nor its index beside it."""
    return not any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-shm"))


@contextmanager
def opened_as_evidence(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a record for reading, inside one consistent view.

    Raises
    ------
    sqlite3.Error, OSError
        If there is no file, or it is not a database.
    """
    if is_at_rest(path):
        with closing(_looking_at(path, "mode=ro&immutable=1")) as connection:
            yield connection
        return
    try:
        connection = _looking_at(path, "mode=ro")
    except sqlite3.OperationalError:
        with (
            tempfile.TemporaryDirectory(prefix="packgrade-evidence-") as folder,
            closing(_looking_at(_copied(path, Path(folder)), "mode=rw")) as connection,
        ):
            yield connection
        return
    with closing(connection):
        yield connection


def _looking_at(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE_BYTE)
        connection.text_factory = _text
        for leash in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
            connection.execute(f"PRAGMA {leash}")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _copied(path: Path, folder: Path) -> Path:
    for suffix in ("", "-wal"):
        original = Path(f"{path}{suffix}")
        if original.exists():
            shutil.copyfile(original, folder / f"record{suffix}")
    return folder / "record"


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "backslashreplace")
