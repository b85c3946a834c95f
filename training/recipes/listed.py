"""Training on a method whose plan lists its features: two pulse trains, partial charge, impedance, telemetry.

Every row with the required features trains. Of the rows marked ``visit`` in the labels one per
battery calibrates and is judged; all other rows are grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.feature_set import FEATURE_SETS, FeatureSet
from features.measurement import FloatArray
from training.plan import ListedPlan
from training.plan_tables import ListedFeaturesPlan
from training.recipes.recipe import Counted, Member, first_of_each_battery, with_anchors
from training.table import BoolArray, FeatureTable


@dataclass(frozen=True)
class ListedRecipe:
    """Recipe that follows the lists of a plan; see `training.recipes.recipe.Recipe`.

    Attributes
    ----------
    feature_set : FeatureSet
        Features of the method.
    listed : ListedFeaturesPlan
        What the plan says about them.
    """

    feature_set: FeatureSet
    listed: ListedFeaturesPlan

    @classmethod
    def of(cls, plan: ListedPlan) -> "ListedRecipe":
        """Recipe of a plan."""
        return cls(FEATURE_SETS[plan.method], plan.listed_features)

    @property
    def required(self) -> tuple[str, ...]:
        """As the plan lists them."""
        return self.listed.required

    @property
    def logarithmic(self) -> tuple[str, ...]:
        """As the plan lists them."""
        return self.listed.logarithmic

    @property
    def resistances(self) -> tuple[str, ...]:
        """As the plan lists them."""
        return self.listed.resistances

    def member_features(self, member: Member) -> tuple[str, ...]:
        """The plan's anchors, then the features the member asks for."""
        return with_anchors(self.feature_set, self.listed.anchors, member.features)

    def member_required(self, member: Member) -> tuple[str, ...]:
        """Features whose prefix the member needs."""
        return tuple(name for name in self.feature_set.names if name.startswith(member.needed))

    def classifier_features(self, prefixes: Sequence[str]) -> tuple[str, ...]:
        """The plan's anchors, then those of the prefixes."""
        return with_anchors(self.feature_set, self.listed.anchors, prefixes)

    def usable(self, table: FeatureTable) -> BoolArray:
        """Rows with every required feature."""
        return table.measured(self.required)

    def typical(self, table: FeatureTable) -> BoolArray:
        """Every row."""
        return np.ones(len(table), dtype=np.bool_)

    def member_rows(self, member: Member, table: FeatureTable) -> BoolArray:
        """Rows in which everything the member needs was measured."""
        return table.measured(self.member_required(member))

    def counted(self, table: FeatureTable) -> Counted:
        """The first visit of every battery, and as grid every row that is no visit."""
        measured = table.measured(self.required)
        return Counted(table, first_of_each_battery(table, table.visits & measured), ~table.visits & measured)

    def read_with(self, values: FloatArray, ratio: float) -> FloatArray:
        """Scale what the plan says grows or shrinks with the declared capacity."""
        grows, shrinks = self.listed.times_rated_capacity, self.listed.over_rated_capacity
        names = self.feature_set.names
        power = [int("_ohm_ah" in name or name.startswith(grows)) - int(name.startswith(shrinks)) for name in names]
        scaled: FloatArray = values * ratio ** np.array(power, dtype=np.float64)
        return scaled

    @property
    def features_in_words(self) -> str:
        """Which feature set it is."""
        return f"Features: those of `{self.feature_set.method.value}`, version {self.feature_set.version} of the set."

    @property
    def limits_in_words(self) -> str:
        """Which features must be measured."""
        return f"Nothing is said of a test in which one of these was not measured: {', '.join(self.required)}."
