"""The battery codes a vehicle names when it logs in.

Only the codes are read. The number of the SIM card and of the vehicle stand in the same frame and are
left there; a code that is the vehicle's own number is none.
"""

from features.battery_code import parse_battery_code
from features.readers.gbt32960_tables import Edition

_TIME_AND_SERIAL_BYTES, _SIM_CARD_BYTES = 8, 20
_CODE_BYTES_2025 = 24


def pack_codes(body: bytes, edition: Edition, vin: bytes) -> tuple[str, ...] | None:
    """Codes in the order of the login frame; None when its counts do not fit its length.

    Parameters
    ----------
    body : bytes
        Data unit of a login frame.
    edition : Edition
        2016: subsystem count, length of a code, codes. 2025: systems, packs of each, 24 characters per pack.
    vin : bytes
        The vehicle's number, to leave it out.
    """
    counts_at = _TIME_AND_SERIAL_BYTES + _SIM_CARD_BYTES
    if len(body) <= counts_at:
        return None
    count, begins_at = body[counts_at], counts_at + 1
    if edition.splits_cell_lists:
        size = body[begins_at] if begins_at < len(body) else 0
        begins_at += 1
    else:
        size = _CODE_BYTES_2025
        packs = body[begins_at : begins_at + count]
        begins_at, count = begins_at + count, sum(packs)
    written = body[begins_at:]
    if len(written) != count * size:
        return None
    each = (written[at : at + size] for at in range(0, count * size, size)) if size else iter(())
    return tuple(code for raw in each if (code := _code(raw, vin)))


def _code(raw: bytes, vin: bytes) -> str:
    """Code without padding, normalised where it is a battery code; empty when nothing is written."""
    text = raw.strip(b"\x00\xff ").decode("ascii", errors="replace")
    if not text.isprintable() or not text.isascii() or raw.strip(b"\x00\xff ") == vin.strip(b"\x00\xff "):
        return ""
    parsed = parse_battery_code(text)
    return parsed.code if parsed.valid else text[:64]
