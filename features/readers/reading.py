"""What every reader hands on: one canonical table, what was noticed, when the test began.

Readers convert units and signs and drop nothing silently: what is left out is a finding, what
cannot be read is an `UnreadableFile` error naming file, place and rule.
"""

from dataclasses import dataclass
from datetime import datetime

from features.findings import Finding
from features.measurement import CanonicalTable


@dataclass(frozen=True)
class Reading:
    """A source turned into a canonical table.

    Attributes
    ----------
    table : CanonicalTable
        The measurement in canonical names, units and sign.
    findings : tuple of Finding
        What was noticed while reading (gaps, sentinels, dropped rows).
    started_at : datetime or None
        Begin of the test in UTC where the source states it with a known zone.
    """

    table: CanonicalTable
    findings: tuple[Finding, ...] = ()
    started_at: datetime | None = None
