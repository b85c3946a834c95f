"""What a policy is willing to risk at a cut, and over which batteries it wants that promised.

Apart from the certificate, so that a policy can state its levels without knowing how they are met.
"""

from dataclasses import dataclass
from enum import StrEnum

from features.errors import InvalidInput, Problem


@dataclass(frozen=True, slots=True)
class RiskLevels:
    """What a policy is willing to risk at a cut.

    Attributes
    ----------
    max_false_accept_share : float
        Largest share of all presented batteries that are accepted although below the cut, in (0, 1).
    max_false_reject_share : float
        Largest share of all presented batteries that are rejected although not below it, in (0, 1).
    confidence : float
        Probability, over the draw of calibration batteries, with which each of the two holds, in (0, 1).

    Raises
    ------
    InvalidInput
        ``RISK_LEVELS_NOT_SOUND``, naming every level outside (0, 1).
    """

    max_false_accept_share: float
    max_false_reject_share: float
    confidence: float

    def __post_init__(self) -> None:
        levels = {name: float(getattr(self, name)) for name in self.__slots__}
        problems = [
            Problem(name, "must lie between 0 and 1, both excluded", f"{level:g}")
            for name, level in levels.items()
            if not 0.0 < level < 1.0
        ]
        if problems:
            message = "These risk levels are no risk levels. Nothing was certified."
            raise InvalidInput(message, problems, code="RISK_LEVELS_NOT_SOUND")


class CalibrateBy(StrEnum):
    """Over which batteries a certificate reaches."""

    MIX = "mix"
    TYPE = "type"


class WhenNotCertifiable(StrEnum):
    """What happens when the calibration batteries cannot support the promise."""

    REFUSE = "refuse"
    RETEST = "retest"


@dataclass(frozen=True, slots=True)
class RiskRule:
    """How a policy wants its cuts certified.

    Attributes
    ----------
    levels : RiskLevels
        What is promised at every cut.
    calibrate_by : CalibrateBy
        ``mix``: one certificate for all types together; ``type``: one for every type with enough
        batteries, one for the others together.
    when_not_certifiable : WhenNotCertifiable
        ``refuse``: bundle and policy do not start together; ``retest``: the method then grades nothing.
    least_batteries_per_type : int
        A type with fewer calibration batteries is graded by nobody's certificate.
    """

    levels: RiskLevels
    calibrate_by: CalibrateBy
    when_not_certifiable: WhenNotCertifiable
    least_batteries_per_type: int
