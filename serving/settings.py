"""What the deployment decides: where the record lies, which bundle and policy, where to listen.

The only module that reads the environment. A variable that is set but wrong is an error at start,
never a default. Paths are taken as they are given; `serve` makes them absolute for its workers.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from features.errors import InvalidInput, Problem
from models.policy_file import SHIPPED_POLICY
from serving.record.location import RecordLocation, record_location

SHIPPED_BUNDLE = Path(__file__).parent.parent / "models" / "reference"
_HIGHEST_PORT = 65535

# BentoML reports every start to its maker unless this is set; it looks only when it starts to serve.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")


@dataclass(frozen=True, slots=True)
class Settings:
    """One deployment.

    Attributes
    ----------
    record_file : Path or str
        Where the record lies: a SQLite file, whose folder must exist, or the ``postgresql://`` URL of a
        database. ``PACKGRADE_RECORD``.
    log_key_file : Path or None
        File of the key that signs the record; beside a record in a file unless named, and necessary for
        a database. ``PACKGRADE_LOG_KEY``.
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
    platform_url : str or None
        Capture address of the platform that is told of events: https, or http on this machine only.
        ``PACKGRADE_PLATFORM``.
    platform_token : str or None
        Bearer token it asks for; a secret, shown nowhere. ``PACKGRADE_PLATFORM_TOKEN``.

    Raises
    ------
    InvalidInput
        If a value is out of range.
    """

    record_file: RecordLocation = Path("packgrade-record.sqlite")
    log_key_file: Path | None = None
    witness_file: Path | None = None
    bundle_folder: Path = SHIPPED_BUNDLE
    policy_file: Path = SHIPPED_POLICY
    station: str = "local"
    host: str = "127.0.0.1"
    port: int = 3000
    workers: int = 1
    concurrent_requests: int = 32
    platform_url: str | None = None
    platform_token: str | None = field(default=None, repr=False)

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
            (
                "PACKGRADE_PLATFORM",
                (self.platform_url or "").rpartition("@")[2],
                "must be an https address, or http with an address of this machine, without user or fragment",
                self.platform_url is None or _is_platform(self.platform_url),
            ),
            (
                "PACKGRADE_PLATFORM_TOKEN",
                "a value that is not shown",
                "must be 1 to 4096 visible ASCII characters",
                self.platform_token is None or re.fullmatch(r"[!-~]{1,4096}", self.platform_token) is not None,
            ),
        )
        problems = [Problem(name, rule, f"{value!r:.80}") for name, value, rule, holds in rules if not holds]
        if problems:
            raise InvalidInput("The settings are not valid. Nothing was started.", problems, code="INVALID_SETTINGS")

    def as_environment(self) -> dict[str, str]:
        """Return the variables that give these settings again; worker processes are started with them.

        The platform is left out: a process of its own tells it.
        """
        return {
            "PACKGRADE_RECORD": _absolute(self.record_file),
            "PACKGRADE_LOG_KEY": _absolute(self.log_key_file),
            "PACKGRADE_WITNESS": _absolute(self.witness_file),
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
        record_file=record_location(given["PACKGRADE_RECORD"]) if "PACKGRADE_RECORD" in given else default.record_file,
        log_key_file=Path(given["PACKGRADE_LOG_KEY"]) if "PACKGRADE_LOG_KEY" in given else None,
        witness_file=Path(given["PACKGRADE_WITNESS"]) if given.get("PACKGRADE_WITNESS") else None,
        bundle_folder=Path(given.get("PACKGRADE_BUNDLE", default.bundle_folder)),
        policy_file=Path(given.get("PACKGRADE_POLICY", default.policy_file)),
        station=given.get("PACKGRADE_STATION", default.station),
        host=given.get("PACKGRADE_HOST", default.host),
        port=_whole_number(given, "PACKGRADE_PORT", default.port),
        workers=_whole_number(given, "PACKGRADE_WORKERS", default.workers),
        concurrent_requests=_whole_number(given, "PACKGRADE_CONCURRENCY", default.concurrent_requests),
        platform_url=given.get("PACKGRADE_PLATFORM"),
        platform_token=given.get("PACKGRADE_PLATFORM_TOKEN"),
    )


def set_environment(variables: Mapping[str, str]) -> None:
    """Hand variables on to the processes this one starts."""
    os.environ.update(variables)


@cache
def software_version() -> str:
    """Return the release of this installation, as written into every record entry; looked up once a process."""
    try:
        return version("packgrade")
    except PackageNotFoundError:
        return "0+uninstalled"


def _absolute(location: RecordLocation | None) -> str:
    """Return a path as every folder understands it; a URL is one already, and nothing is nothing."""
    return str(location.absolute()) if isinstance(location, Path) else location or ""


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= 64 and text.isprintable() and text == text.strip()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_platform(text: str) -> bool:
    """Whether it is an address a token may be sent to: nobody on the way can read it."""
    try:
        address = urlsplit(text)
        named = address.hostname is not None and address.port != 0
    except ValueError:
        return False
    here = (
        address.scheme == "http"
        and _is_address(address.hostname or "")
        and ip_address(address.hostname or "").is_loopback
    )
    plain = "@" not in address.netloc and not address.fragment and re.fullmatch(r"[!-~]{1,2000}", text) is not None
    return named and plain and (here or address.scheme == "https")


def _whole_number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        problem = Problem(name, "must be a whole number", f"{text!r:.80}")
        raise InvalidInput("The settings are not valid. Nothing was started.", [problem], code="INVALID_SETTINGS")
    return int(text)
