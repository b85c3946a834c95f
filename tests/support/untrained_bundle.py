"""A sound bundle without a single model: capacity tests are graded, every other method abstains."""

from datetime import date
from pathlib import Path

from models.bundle import save_bundle
from models.manifest import Manifest


def untrained_bundle(folder: Path) -> Path:
    """Write the bundle and return its folder."""
    manifest = Manifest(
        name="untrained",
        version="1",
        created_on=date(2026, 11, 22),
        methods=(),
        known_types=(),
        training_data=(),
        files={},
    )
    save_bundle(folder, manifest, {})
    return folder
