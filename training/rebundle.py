"""A bundle made from a bundle: everything that is not changed stays byte for byte as it was.

Recalibration and onboarding read a bundle whose every byte was checked, replace or add files, and
write a new one under a new version. The old folder is never touched.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from features.errors import InvalidInput
from features.feature_set import Method
from models.bundle import Bundle, file_sha256, load_bundle, save_bundle
from models.calibration_file import CalibrationFile, calibration_file_name
from models.capacity import EstimatorDescription, estimator_json
from models.manifest import KnownType, Manifest, TrainingData
from training.bundle_documents import CARD_FILE

_RELEASE = re.compile(r"(?P<stem>.*\+)(?P<letter>[a-z])(?P<number>\d+)")


@dataclass(frozen=True)
class OpenedBundle:
    """A loaded bundle with the bytes of its files.

    Attributes
    ----------
    bundle : Bundle
        As the service loads it.
    files : mapping of str to bytes
        Every file but the manifest, by name.
    """

    bundle: Bundle
    files: Mapping[str, bytes]

    def estimator(self, method: Method) -> EstimatorDescription:
        """Description of a method's estimator."""
        return EstimatorDescription.model_validate_json(self.files[_estimator_name(method)])

    def calibration(self, method: Method) -> CalibrationFile:
        """Batteries that calibrate a method, with everything the file says of them."""
        return CalibrationFile.model_validate_json(self.files[calibration_file_name(method)])


def opened_bundle(folder: Path) -> OpenedBundle:
    """Bundle and its bytes, every one checked.

    Raises
    ------
    BundleRefused
        As `models.bundle.load_bundle`.
    """
    bundle = load_bundle(folder)
    return OpenedBundle(bundle, {name: (folder / name).read_bytes() for name in bundle.manifest.files})


def method_documents(method: Method, estimator: EstimatorDescription, calibration: CalibrationFile) -> dict[str, bytes]:
    """The two files that say how a method estimates and what calibrates it, by name."""
    calibrating = calibration.model_dump_json(indent=1) + "\n"
    return {
        _estimator_name(method): estimator_json(estimator),
        calibration_file_name(method): calibrating.encode("utf-8"),
    }


def write_changed(
    old: OpenedBundle,
    folder: Path,
    files: Mapping[str, bytes],
    *,
    version: str,
    created_on: date,
    known_types: Sequence[KnownType],
    learned_from: TrainingData,
    told: str,
) -> Manifest:
    """Write the bundle that a bundle becomes; returns its manifest, loaded back from the folder.

    Parameters
    ----------
    old : OpenedBundle
        What it was.
    folder : Path
        New or empty folder.
    files : mapping of str to bytes
        Files that are new or changed.
    version : str
        New version.
    created_on : date
        Day written into the manifest.
    known_types : sequence of KnownType
        Types it knows now.
    learned_from : TrainingData
        What the change was learned from; stands last in the manifest's data.
    told : str
        Section added to the model card.

    Raises
    ------
    InvalidInput
        ``VERSION_NOT_NEW`` if the version is the old one.
    FileExistsError
        If the folder holds something.
    """
    manifest = old.bundle.manifest
    if version == manifest.version:
        message = f"Version {version} is that of the bundle. Nothing was written. Give the new one another --version."
        raise InvalidInput(message, code="VERSION_NOT_NEW")
    card = old.files.get(CARD_FILE, b"") + f"\n{told}\n".encode()
    written = {**old.files, **files, CARD_FILE: card}
    described = manifest.model_dump() | {
        "version": version,
        "created_on": created_on,
        "known_types": tuple(sorted(known_types, key=lambda each: each.key)),
        "training_data": (*manifest.training_data, learned_from),
        "files": {name: file_sha256(content) for name, content in sorted(written.items())},
    }
    save_bundle(folder, Manifest.model_validate(described), written)
    return load_bundle(folder).manifest


def next_version(version: str, letter: str) -> str:
    """Version of the next change of a kind.

    Examples
    --------
    >>> next_version("2026.11", "r"), next_version("2026.11+r1", "r"), next_version("2026.11+r1", "t")
    ('2026.11+r1', '2026.11+r2', '2026.11+r1+t1')
    """
    found = _RELEASE.fullmatch(version)
    if found is not None and found["letter"] == letter:
        return f"{found['stem']}{letter}{int(found['number']) + 1}"
    return f"{version}+{letter}1"


def _estimator_name(method: Method) -> str:
    return f"{method.value}/estimator.json"
