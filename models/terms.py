"""What an assessment needs to know from a policy: its cuts, and when a direct capacity test speaks about them.

Values only; the policy file fills them in and `assessment` asks them. A capacity means little without
its definition: a slow or warm discharge gives more charge than the cuts mean.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CapacityTestTerms:
    """When the capacity of a direct test may be compared with the cuts, and how sure it is.

    Attributes
    ----------
    relative_standard_uncertainty : float
        Relative standard uncertainty of a direct capacity test.
    lowest_rate_c, highest_rate_c : float
        Discharge rates whose capacity the cuts may judge. [1/h]
    """

    relative_standard_uncertainty: float
    lowest_rate_c: float
    highest_rate_c: float


@dataclass(frozen=True, slots=True)
class GradingTerms:
    """Cuts of a policy in state of health, highest first, and its terms for a direct capacity test."""

    cuts: tuple[float, ...]
    capacity_test: CapacityTestTerms
