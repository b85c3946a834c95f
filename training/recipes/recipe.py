"""What training asks of a method; everything else is the same for all of them.

A recipe reads the plan of its method and answers in feature names and masks over the rows of a
table. It fits nothing and knows no data set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from features.feature_set import FeatureSet
from features.measurement import FloatArray
from training.plan_tables import KernelMemberPlan, TreeMemberPlan, WindowKernelMemberPlan
from training.table import BoolArray, FeatureTable

Member = KernelMemberPlan | TreeMemberPlan | WindowKernelMemberPlan


@dataclass(frozen=True)
class Counted:
    """Rows a recipe is judged and calibrated by.

    Attributes
    ----------
    table : FeatureTable
        All rows of the table that was asked about, as they are presented.
    visits : ndarray of bool, shape (n,)
        One row per battery; it calibrates, and it is judged as a station would meet it.
    grid : ndarray of bool, shape (n,)
        Further rows that are judged, and calibrate a type that was never visited.
    """

    table: FeatureTable
    visits: BoolArray
    grid: BoolArray

    @property
    def kept(self) -> BoolArray:
        """Rows counted as either."""
        return self.visits | self.grid


class Recipe(Protocol):
    """What is particular to one method.

    Attributes
    ----------
    feature_set : FeatureSet
        Features of the method.
    required : tuple of str
        Features without which nothing is said.
    logarithmic : tuple of str
        Prefixes of features a kernel takes as logarithm.
    resistances : tuple of str
        Prefixes of features along which health falls.
    """

    @property
    def feature_set(self) -> FeatureSet:
        """Features of the method."""

    @property
    def required(self) -> tuple[str, ...]:
        """Features without which nothing is said."""

    @property
    def logarithmic(self) -> tuple[str, ...]:
        """Prefixes of features a kernel takes as logarithm."""

    @property
    def resistances(self) -> tuple[str, ...]:
        """Prefixes of features along which health falls."""

    def member_features(self, member: Member) -> tuple[str, ...]:
        """Features of a member, the one its kernel weighs most first."""

    def member_required(self, member: Member) -> tuple[str, ...]:
        """Features without which a member says nothing."""

    def classifier_features(self, prefixes: Sequence[str]) -> tuple[str, ...]:
        """Features of a classifier that asks for these prefixes."""

    def usable(self, table: FeatureTable) -> BoolArray:
        """Rows that may train at all."""

    def typical(self, table: FeatureTable) -> BoolArray:
        """Usable rows that train looks and classifiers; a type without one is not fitted."""

    def member_rows(self, member: Member, table: FeatureTable) -> BoolArray:
        """Usable rows that train a member."""

    def counted(self, table: FeatureTable) -> Counted:
        """Rows that are judged and calibrate."""

    def read_with(self, values: FloatArray, ratio: float) -> FloatArray:
        """Features of the same tests on a battery declared `ratio` times as large, shape of `values`."""

    @property
    def features_in_words(self) -> str:
        """What the features are, one sentence for the model card."""

    @property
    def limits_in_words(self) -> str:
        """Which tests are spoken about, one sentence for the model card."""


def with_anchors(feature_set: FeatureSet, anchors: Sequence[str], prefixes: Sequence[str]) -> tuple[str, ...]:
    """Features a model sees: the anchors, then those of the prefixes in the order of the set; no prefix means all."""
    others = (name for name in feature_set.names if name not in anchors)
    return (*anchors, *(name for name in others if not prefixes or name.startswith(tuple(prefixes))))


def first_of_each_battery(table: FeatureTable, rows: BoolArray) -> BoolArray:
    """Of the marked rows the first of every battery."""
    repeated = table.labels["battery_id"].where(rows).duplicated().to_numpy()
    return rows & np.asarray(~repeated, dtype=np.bool_)
