"""An entry of the record as the bytes that are sent, or why it cannot be sent.

The document is built and then held against the closed profile once more: what leaves the building is
what was checked. An entry that makes no sound document is refused alone and stops nobody else.
"""

from features.errors import PackGradeError
from serving.record.leaf import Leaf
from serving.record.store import Reader
from serving.trace.documents import document_bytes, require_profile
from serving.trace.epcis import corrected_event_id, epcis_document


class NotSendable(PackGradeError):  # noqa: N818 - reads as what it is: the entry is not sendable
    """An entry makes no document of our profile. It was not sent."""

    def __init__(self, leaf: Leaf, reason: Exception) -> None:
        said = f"{type(reason).__name__}: {reason}"
        super().__init__("NOT_SENDABLE", f"Entry {leaf.sequence} makes no document of our profile: {said}")


def outgoing(leaf: Leaf, reader: Reader) -> bytes:
    """EPCIS document of an entry as it is sent: equal entries give equal bytes.

    Parameters
    ----------
    leaf : Leaf
        The entry.
    reader : Reader
        Where a withdrawal finds the decision it withdraws.

    Raises
    ------
    NotSendable
        If there is no such document.
    """
    try:
        document = epcis_document(leaf, _corrected(leaf, reader))
        require_profile(document)
        return document_bytes(document)
    except (PackGradeError, ValueError, LookupError, TypeError) as error:
        raise NotSendable(leaf, error) from error


def _corrected(leaf: Leaf, reader: Reader) -> Leaf | None:
    wrong = corrected_event_id(leaf)
    return None if wrong is None else reader.by_event_id(wrong)
