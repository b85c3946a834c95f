"""Fixtures every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.support.postgres_server import RunningServer

# How long an example takes depends on what else the machine does; what it finds does not.
settings.register_profile("packgrade", deadline=None)
settings.load_profile("packgrade")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the development data; the test is skipped, saying so, where it is absent."""
    named = os.environ.get("PACKGRADE_DATA_DIR", "")
    if not named or not Path(named).is_dir():
        pytest.skip(f"real data absent: PACKGRADE_DATA_DIR={named!r} is not a folder")
    return Path(named)


@pytest.fixture(scope="session")
def postgres() -> Iterator["RunningServer"]:
    """A PostgreSQL server of this test process, started by the first test that asks for it."""
    from tests.support.postgres_server import running_server  # noqa: PLC0415 - few tests need the driver

    with running_server() as server:
        yield server
