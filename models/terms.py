"""What an assessment needs to know from a policy: its cuts, and which evidence speaks about them.

Values only; the policy file fills them in and `assessment` asks them. A capacity means little without
its definition: a slow or warm discharge gives more charge than the cuts mean. A trained estimate means
little without a certificate.
"""

from dataclasses import dataclass

from models.certification import Certification


@dataclass(frozen=True, slots=True)
class CapacityTestTerms:
    """When the capacity of a direct test may be compared with the cuts, and how sure it is.

    Attributes
    ----------
    relative_standard_uncertainty : float
        Relative standard uncertainty of a direct capacity test.
    lowest_rate_c, highest_rate_c : float
        Discharge rates whose capacity the cuts may judge. [1/h]
    lowest_temperature_celsius, highest_temperature_celsius : float
        Surface temperatures at which they may. [°C]
    """

    relative_standard_uncertainty: float
    lowest_rate_c: float
    highest_rate_c: float
    lowest_temperature_celsius: float
    highest_temperature_celsius: float


@dataclass(frozen=True, slots=True)
class GradingTerms:
    """What makes evidence speak about the cuts of a policy.

    Attributes
    ----------
    cuts : tuple of float
        In state of health, highest first.
    capacity_test : CapacityTestTerms
        For a direct capacity test.
    certification : Certification
        For trained methods.
    """

    cuts: tuple[float, ...]
    capacity_test: CapacityTestTerms
    certification: Certification
