"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
