"""A trained bundle: a folder of plain files, a manifest with their digests, and nothing executable.

Loading reads every byte once, checks it against the manifest, and only then parses it: LightGBM's
native text and JSON arrays, never a pickle. A bundle whose features are not this release's features
is refused. Writing is the mirror image, so that what training saves is what serving loads.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from features.errors import PackGradeError, Problem
from features.feature_set import FEATURE_SETS, Method
from features.measurement import BatteryIdentity
from models.calibration_file import load_calibration
from models.capacity import TrainedEstimator, load_estimator
from models.decision import cut_key
from models.manifest import KnownType, Manifest
from models.risk import CalibrationBatteries

MANIFEST_NAME = "manifest.json"
REFERENCE_BUNDLE = Path(__file__).parent / "reference"
LARGEST_FILE_BYTES = 64 * 1024 * 1024


class BundleRefused(PackGradeError):  # noqa: N818 - reads as what happened
    """A bundle is damaged, belongs to other features, or cannot serve this policy."""


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Attributes
    ----------
    manifest : Manifest
        What it says about itself.
    estimators : mapping of Method to TrainedEstimator
        The calibrated models, one per method.
    calibration : mapping of Method to CalibrationBatteries
        Batteries of known capacity that calibrate each of them, scored by models that never saw them.
    """

    manifest: Manifest
    estimators: Mapping[Method, TrainedEstimator]
    calibration: Mapping[Method, CalibrationBatteries]

    @property
    def sha256(self) -> str:
        """Digest over the manifest and, through it, every file."""
        return self.manifest.sha256

    @property
    def stamp(self) -> dict[str, str]:
        """Name, version and digest, as the record and the reply write them."""
        return {"name": self.manifest.name, "version": self.manifest.version, "sha256": self.sha256}

    def known_type(self, identity: BatteryIdentity) -> KnownType | None:
        """The type the battery is declared as, if the bundle was trained on it."""
        return next((each for each in self.manifest.known_types if each.is_type_of(identity)), None)

    def require_cuts(self, cuts: Iterable[float]) -> None:
        """Refuse cuts without a calibrated probability.

        Raises
        ------
        BundleRefused
            ``CUT_NOT_SUPPORTED``, naming the cut and what the bundle supports.
        """
        for method in self.manifest.methods:
            for cut in cuts:
                if not method.lowest_cut_fraction <= cut <= method.highest_cut_fraction:
                    supported = f"{cut_key(method.lowest_cut_fraction)} to {cut_key(method.highest_cut_fraction)}"
                    raise BundleRefused(
                        "CUT_NOT_SUPPORTED",
                        f"The policy cuts at {cut_key(cut)}; bundle {self.manifest.name} {self.manifest.version} is "
                        f"calibrated for {method.method.value} from {supported}. Nothing was graded. "
                        "Use a policy inside that range or train a bundle with batteries around the cut.",
                    )


def load_bundle(folder: Path) -> Bundle:
    """Bundle from its folder, every byte checked.

    Parameters
    ----------
    folder : Path
        Bundle folder with its ``manifest.json``.

    Returns
    -------
    Bundle

    Raises
    ------
    BundleRefused
        ``BUNDLE_UNREADABLE`` (missing, not a manifest), ``BUNDLE_DAMAGED`` (a digest differs, a file is
        missing or not listed), ``FEATURE_SET_MISMATCH`` (trained on other features).
    InvalidInput
        ``CALIBRATION_NOT_SOUND`` if a method comes without sound calibration batteries.
    """
    manifest = read_manifest(folder)
    _require_same_features(manifest)
    files = _checked_files(folder, manifest)
    estimators = {each.method: load_estimator(each, files) for each in manifest.methods}
    types = [each.key for each in manifest.known_types]
    calibration = {each.method: load_calibration(each.method, files, types) for each in manifest.methods}
    return Bundle(manifest, estimators, calibration)


def save_bundle(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write a bundle; the folder must not exist or be empty.

    Raises
    ------
    FileExistsError
        If the folder already holds something: bundles are never overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder.name} is not empty; a bundle is never overwritten.")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def file_sha256(content: bytes) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Manifest of a bundle folder; the other files are not looked at.

    Raises
    ------
    BundleRefused
        ``BUNDLE_UNREADABLE`` if it is missing, or is no manifest.
    """
    try:
        content = (folder / MANIFEST_NAME).read_text(encoding="utf-8")
        return Manifest.model_validate_json(content)
    except (OSError, UnicodeDecodeError) as problem:
        raise BundleRefused(
            "BUNDLE_UNREADABLE", f"{folder.name} has no readable {MANIFEST_NAME}. Nothing was loaded."
        ) from problem
    except ValidationError as problem:
        faults = [
            Problem(".".join(map(str, each["loc"])), each["msg"], repr(each["input"])[:80]) for each in problem.errors()
        ]
        raise BundleRefused(
            "BUNDLE_UNREADABLE", f"{MANIFEST_NAME} of {folder.name} is not a bundle manifest.", faults
        ) from problem


def _require_same_features(manifest: Manifest) -> None:
    for each in manifest.methods:
        feature_set = FEATURE_SETS.get(each.method)
        computed = feature_set.digest if feature_set else "none"
        if computed != each.feature_set_digest:
            raise BundleRefused(
                "FEATURE_SET_MISMATCH",
                f"Bundle {manifest.sha256[:12]}… was trained on feature set {each.feature_set_digest[:12]}… of "
                f"{each.method.value}, this release computes {computed[:12]}…. Nothing was graded. "
                "Deploy the bundle promoted with this release, or roll the release back.",
            )


def _checked_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST_NAME}
    if present != set(manifest.files):
        odd = sorted(present ^ set(manifest.files))
        raise _damaged(manifest, [Problem(name, "must be listed in the manifest and be there") for name in odd])
    files, problems = {}, []
    for name, expected in manifest.files.items():
        path = folder / name
        if path.is_symlink() or path.stat().st_size > LARGEST_FILE_BYTES:
            problems.append(Problem(name, f"must be a plain file of at most {LARGEST_FILE_BYTES} bytes"))
            continue
        files[name] = path.read_bytes()
        found = file_sha256(files[name])
        if found != expected:
            problems.append(Problem(name, f"must have SHA-256 {expected[:12]}…", f"{found[:12]}…"))
    if problems:
        raise _damaged(manifest, problems)
    return files


def _damaged(manifest: Manifest, problems: list[Problem]) -> BundleRefused:
    message = f"Bundle {manifest.name} {manifest.version} is damaged. Nothing was loaded; fetch it again."
    return BundleRefused("BUNDLE_DAMAGED", message, problems)
