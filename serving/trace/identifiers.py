"""Names of batteries, stations, events and digests as URIs.

A battery is ``https://packgrade.example/obj/SCHEME/CODE`` and a station ``…/loc/NAME``: the form GS1's
core business vocabulary keeps for private identifiers. An event is a ``urn:uuid``, a digest an RFC 6920
``ni`` name. Nothing is looked up; a URI follows from the text alone, so a battery has one for ever.
"""

import base64
from urllib.parse import quote
from uuid import UUID

from features.battery_code import parse_battery_code
from features.errors import InvalidInput, Problem
from features.vehicle_number import MASKED, is_vehicle_number
from features.vocabulary import Scheme

AUTHORITY = "https://packgrade.example"
"""A reserved domain (RFC 2606): it identifies and is never fetched."""


class NotToBeTold(InvalidInput):
    """An entry of the record that makes no EPCIS document. Nothing is sent."""

    def __init__(self, what: str, problem: Problem) -> None:
        super().__init__(f"{what} Nothing was written for the platform.", [problem], code="NOT_TO_BE_TOLD")


def battery_uri(battery_id: str) -> str:
    """URI of a battery.

    Parameters
    ----------
    battery_id : str
        As the record holds it: a normalised GB/T 34014 code, or a local identifier.

    Raises
    ------
    NotToBeTold
        If a local identifier is a vehicle identification number: that is personal data.

    Examples
    --------
    >>> battery_uri("04QCB76836300JBC40000903")
    'https://packgrade.example/obj/gbt34014/04QCB76836300JBC40000903'
    >>> battery_uri("cell 7/模组")
    'https://packgrade.example/obj/local/cell%207%2F%E6%A8%A1%E7%BB%84'
    """
    parsed = parse_battery_code(battery_id)
    scheme = parsed.scheme if parsed.valid and parsed.code == battery_id else Scheme.LOCAL
    if scheme is Scheme.LOCAL and is_vehicle_number(battery_id):
        rule = "must not be a vehicle identification number; give the battery an identifier of its own"
        raise NotToBeTold("The battery is named by a vehicle.", Problem("battery_id", rule, MASKED))
    return f"{AUTHORITY}/obj/{scheme.value}/{quote(battery_id, safe='')}"


def station_uri(station: str) -> str:
    """URI of a station, as a place where an event was observed."""
    return f"{AUTHORITY}/loc/{quote(station, safe='')}"


def event_uri(event_id: str) -> str:
    """URI of an event of the record.

    Examples
    --------
    >>> event_uri("0b1d5a3c5f0e4a55a3f0a8f2a1c9d7e4")
    'urn:uuid:0b1d5a3c-5f0e-4a55-a3f0-a8f2a1c9d7e4'
    """
    return UUID(event_id).urn


def digest_uri(sha256: str) -> str:
    """Name of content by its SHA-256, RFC 6920.

    Examples
    --------
    >>> digest_uri("7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069")
    'ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk'
    """
    return f"ni:///sha-256;{base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip('=')}"
