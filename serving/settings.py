"""What the deployment decides: where the record lies, which bundle and policy, where to listen.

The only module that reads the environment. A variable that is set but wrong is an error at start,
never a default. Paths are taken as they are given; `serve` makes them absolute for its workers.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path

from features.errors import InvalidInput, Problem
from models.policy_file import SHIPPED_POLICY

SHIPPED_BUNDLE = Path(__file__).parent.parent / "models" / "reference"
_HIGHEST_PORT = 65535

# BentoML reports every start to its maker unless this is set; it looks only when it starts to serve.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")


@dataclass(frozen=True, slots=True)
class Settings:
    """One deployment.

    Attributes
    ----------
    record_file : Path
        SQLite file of the record; its folder must exist. ``PACKGRADE_RECORD``.
    witness_file : Path or None
        File with the last checkpoint a witness holds; a record that does not begin with it is not
        written. ``PACKGRADE_WITNESS``.
    bundle_folder : Path
        Trained bundle. ``PACKGRADE_BUNDLE``.
    policy_file : Path
        Policy in force. ``PACKGRADE_POLICY``.
    station : str
        Station the decisions belong to. ``PACKGRADE_STATION``.
    host : str
        Address to listen on, a number and not a name. ``PACKGRADE_HOST``.
    port : int
        Port to listen on. ``PACKGRADE_PORT``.
    workers : int
        Worker processes on the one record. ``PACKGRADE_WORKERS``.
    concurrent_requests : int
        Requests a worker takes in at a time; one more is told to come again. ``PACKGRADE_CONCURRENCY``.

    Raises
    ------
    InvalidInput
        If a value is out of range.
    """

    record_file: Path = Path("packgrade-record.sqlite")
    witness_file: Path | None = None
    bundle_folder: Path = SHIPPED_BUNDLE
    policy_file: Path = SHIPPED_POLICY
    station: str = "local"
    host: str = "127.0.0.1"
    port: int = 3000
    workers: int = 1
    concurrent_requests: int = 32

    def __post_init__(self) -> None:
        rules = (
            ("PACKGRADE_STATION", self.station, "must be 1 to 64 printable characters", _is_name(self.station)),
            ("PACKGRADE_HOST", self.host, "must be an IP address, not a name", _is_address(self.host)),
            ("PACKGRADE_PORT", self.port, "must be between 1 and 65535", 1 <= self.port <= _HIGHEST_PORT),
            ("PACKGRADE_WORKERS", self.workers, "must be between 1 and 64", 1 <= self.workers <= 64),
            (
                "PACKGRADE_CONCURRENCY",
                self.concurrent_requests,
                "must be between 1 and 1000",
                1 <= self.concurrent_requests <= 1000,
            ),
        )
        problems = [Problem(name, rule, f"{value!r:.80}") for name, value, rule, holds in rules if not holds]
        if problems:
            raise InvalidInput("The settings are not valid. Nothing was started.", problems, code="INVALID_SETTINGS")

    def as_environment(self) -> dict[str, str]:
        """Return the variables that give these settings again; worker processes are started with them."""
        return {
            "PACKGRADE_RECORD": str(self.record_file.absolute()),
            "PACKGRADE_WITNESS": "" if self.witness_file is None else str(self.witness_file.absolute()),
            "PACKGRADE_BUNDLE": str(self.bundle_folder.absolute()),
            "PACKGRADE_POLICY": str(self.policy_file.absolute()),
            "PACKGRADE_STATION": self.station,
            "PACKGRADE_HOST": self.host,
            "PACKGRADE_PORT": str(self.port),
            "PACKGRADE_WORKERS": str(self.workers),
            "PACKGRADE_CONCURRENCY": str(self.concurrent_requests),
        }


def settings_from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the ``PACKGRADE_…`` variables.

    Parameters
    ----------
    environment : mapping of str to str, optional
        Variables; those of the process unless given. An empty value counts as not set.

    Raises
    ------
    InvalidInput
        ``INVALID_SETTINGS``, naming the variable, the rule and the value.
    """
    given = {name: value for name, value in (environment or os.environ).items() if value}
    default = Settings()
    return Settings(
        record_file=Path(given.get("PACKGRADE_RECORD", default.record_file)),
        witness_file=Path(given["PACKGRADE_WITNESS"]) if given.get("PACKGRADE_WITNESS") else None,
        bundle_folder=Path(given.get("PACKGRADE_BUNDLE", default.bundle_folder)),
        policy_file=Path(given.get("PACKGRADE_POLICY", default.policy_file)),
        station=given.get("PACKGRADE_STATION", default.station),
        host=given.get("PACKGRADE_HOST", default.host),
        port=_whole_number(given, "PACKGRADE_PORT", default.port),
        workers=_whole_number(given, "PACKGRADE_WORKERS", default.workers),
        concurrent_requests=_whole_number(given, "PACKGRADE_CONCURRENCY", default.concurrent_requests),
    )


def set_environment(variables: Mapping[str, str]) -> None:
    """Hand variables on to the processes this one starts."""
    os.environ.update(variables)


def software_version() -> str:
    """Return the release of this installation, as written into every record entry."""
    try:
        return version("packgrade")
    except PackageNotFoundError:
        return "0+uninstalled"


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= 64 and text.isprintable() and text == text.strip()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _whole_number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        problem = Problem(name, "must be a whole number", f"{text!r:.80}")
        raise InvalidInput("The settings are not valid. Nothing was started.", [problem], code="INVALID_SETTINGS")
    return int(text)
