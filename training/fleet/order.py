"""What simulated fleet is wanted."""

from dataclasses import dataclass

from features.errors import InvalidInput, Problem


@dataclass(frozen=True, slots=True)
class FleetOrder:
    """What fleet is wanted.

    Attributes
    ----------
    pack_count : int
        Packs, alternately NMC and LFP.
    group_count : int
        Groups in series, at most; packs have up to an eighth less.
    day_count : int
        Recorded days per pack.
    month_count : float
        Calendar time they are spread over.
    sampling_second : float
        Step of the record. [s]
    seed : int
        Of all randomness; pack n is the same in a fleet of any size.
    cell_columns : bool
        Whether every group's voltage is written, or the extremes alone.

    Raises
    ------
    InvalidInput
        If a number is out of range.
    """

    pack_count: int
    group_count: int = 96
    day_count: int = 6
    month_count: float = 6.0
    sampling_second: float = 30.0
    seed: int = 0
    cell_columns: bool = True

    def __post_init__(self) -> None:
        rules = (
            ("packs", self.pack_count, "must be 1 to 100000", 1 <= self.pack_count <= 100_000),
            ("groups", self.group_count, "must be 2 to 400", 2 <= self.group_count <= 400),
            ("days", self.day_count, "must be 1 to the days of the months", 1 <= self.day_count <= self.calendar_days),
            ("months", self.month_count, "must be above 0 and at most 12", 0.0 < self.month_count <= 12.0),
            ("sampling", self.sampling_second, "must be 1 to 120 s", 1.0 <= self.sampling_second <= 120.0),
            ("seed", self.seed, "must not be negative", self.seed >= 0),
        )
        problems = [Problem(name, rule, str(value)) for name, value, rule, holds in rules if not holds]
        if problems:
            raise InvalidInput("No such fleet can be simulated. Nothing was written.", problems)

    @property
    def calendar_days(self) -> int:
        """Days the recorded ones are drawn from."""
        return int(self.month_count * 30.4)
