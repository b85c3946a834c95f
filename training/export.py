"""A registered bundle as a folder the service can load, named by version and digest, never by alias."""

import shutil
import tempfile
from pathlib import Path

from features.errors import PackGradeError
from models.bundle import load_bundle
from training.tracking import RegisteredBundle, TrackingStore


def export_bundle(store: TrackingStore, name: str, alias_or_version: str, folder: Path) -> RegisteredBundle:
    """Write the bundle behind an alias or a version to a folder.

    Parameters
    ----------
    store : TrackingStore
        Registry.
    name : str
        Name in the registry.
    alias_or_version : str
        ``champion``, ``challenger`` or a version number.
    folder : Path
        New or empty folder.

    Returns
    -------
    RegisteredBundle
        The resolved version.

    Raises
    ------
    FileExistsError
        If the folder already holds something.
    PackGradeError
        ``BUNDLE_NOT_REGISTERED``; ``BUNDLE_DAMAGED`` if a byte changed since it was logged;
        ``ARTIFACT_HASH_MISMATCH`` if the store holds another bundle than was registered.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder.name} is not empty; a bundle is never overwritten.")
    registered = store.resolve(name, alias_or_version)
    with tempfile.TemporaryDirectory() as scratch:
        fetched = store.download(registered, Path(scratch))
        found = load_bundle(fetched).sha256
        if found != registered.sha256:
            raise PackGradeError(
                "ARTIFACT_HASH_MISMATCH",
                f"{registered} was registered with another bundle than the store holds ({found[:12]}…). "
                "Nothing was exported. Train again, or restore the store.",
            )
        shutil.copytree(fetched, folder, dirs_exist_ok=True)
    return registered
