"""Who worked at the station: a pseudonym in the log, the name apart from it where it can be erased.

The log keeps for ever what it was told, so it is never told a name. It holds the digest of the name
with a random salt; salt and name stand in a table of their own, and once that row is erased nobody
can tell, or find out by trying, whose pseudonym it was. Nothing here knows HTTP or a terminal.
"""

import unicodedata
from dataclasses import replace

from features.errors import InvalidInput, Problem
from serving.grading import GradingRequest
from serving.record.derived import pseudonym
from serving.record.ledger import Ledger

OPERATOR = "operator"
"""Kind of erasable value."""

LONGEST_NAME = 64


def operator_name(text: str) -> str:
    """Return a name or badge in its one form: Unicode NFC, without white space around it.

    Raises
    ------
    InvalidInput
        If it is not 1 to 64 printable characters.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not (1 <= len(name) <= LONGEST_NAME and name.isprintable()):
        rule = f"must be a name or badge of 1 to {LONGEST_NAME} printable characters"
        raise InvalidInput("The operator cannot be named so. Nothing was recorded.", [Problem(OPERATOR, rule)])
    return name


def attributed(ledger: Ledger, request: GradingRequest, name: str | None, salt: bytes) -> GradingRequest:
    """Return a request with the pseudonym of whoever makes it.

    Parameters
    ----------
    ledger : Ledger
        The record's writer.
    request : GradingRequest
        What is asked.
    name : str or None
        Name or badge; None where the station does not say.
    salt : bytes
        16 random bytes, used if the name is new at this station.

    Raises
    ------
    InvalidInput
        If the name breaks its rule.
    RecordUnavailable
        If a new name cannot be kept.
    """
    if name is None:
        return request
    known = pseudonym_at(ledger, request.station, name)
    if known is None and ledger.find(request.station, request.idempotency_key) is not None:
        return request  # answered from the record as it stands: an erased name does not come back with a repetition
    return replace(request, operator=known or operator_pseudonym(ledger, request.station, name, salt))


def operator_pseudonym(ledger: Ledger, station: str, name: str, salt: bytes) -> str:
    """Return the pseudonym of an operator, keeping the name if it is new at the station.

    Raises
    ------
    InvalidInput
        If the name breaks its rule.
    RecordUnavailable
        If a new name cannot be kept.
    """
    name = operator_name(name)
    return ledger.keep_erasable(pseudonym(salt, OPERATOR, station, name), salt, OPERATOR, station, name)


def erase_operator(ledger: Ledger, named: str) -> bool:
    """Erase the name behind a pseudonym, for ever; whether there was one.

    Raises
    ------
    RecordUnavailable
        If the record cannot be written.
    """
    return ledger.erase(named)


def pseudonym_at(ledger: Ledger, station: str, name: str) -> str | None:
    """Return the pseudonym an operator has at a station, None if none is kept."""
    return ledger.pseudonym_of(OPERATOR, station, operator_name(name))
