"""Boosted trees as arrays: what LightGBM's own text says, evaluated with numpy alone.

A single battery asks a few hundred small trees once and then other work fills the processor's cache;
following pointers through them then costs more than anything else in a decision. Here all conditions
of all trees are asked at once: every condition that fails strikes out the leaves left of it, and the
first leaf that is left in a tree is the one LightGBM would have reached (Lucchese et al., *QuickScorer*,
SIGIR 2015). The values of the leaves are added tree by tree, in LightGBM's order, so the sum is
LightGBM's sum.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from lightgbm import Booster

from features.measurement import FloatArray

Node = Mapping[str, Any]

_ROWS_AT_ONCE = 16
"""Rows whose conditions fit into a processor's cache; changes no number."""

_WORD_BITS = 64
_EVERY_LEAF = np.uint64(2**_WORD_BITS - 1)
_LOGISTIC = {"regression": False, "binary sigmoid:1": True}


@dataclass(frozen=True)
class Trees:
    """The trees of a booster: t trees of at most s conditions each, whose leaves fill w words of 64.

    Attributes
    ----------
    logistic : bool
        Whether the sum is the log odds of a probability.
    feature : ndarray of int, shape (s * t,)
        Column each condition asks; the first conditions of all trees, then the second, …
    threshold : ndarray, shape (s * t,)
        A value of at most this goes left.
    missing_goes_left : ndarray of bool, shape (s * t,)
        Whether a value that was not measured does.
    kept_when_right : ndarray of uint64, shape (s, t, w)
        Leaves that can still be reached after going right, the leftmost leaf of a tree in the lowest bit.
    leaf_value : ndarray, shape (t, leaves)
        From left to right.
    """

    logistic: bool
    feature: npt.NDArray[np.intp]
    threshold: FloatArray
    missing_goes_left: npt.NDArray[np.bool_]
    kept_when_right: npt.NDArray[np.uint64]
    leaf_value: FloatArray

    @classmethod
    def of(cls, booster: Booster) -> "Trees":
        """Trees of a fitted booster.

        Raises
        ------
        ValueError
            If it is of no kind this release trains: one sum of trees, regression or binary, on numbers.
        """
        described = booster.dump_model()
        if described["objective"] not in _LOGISTIC or described["average_output"]:
            raise ValueError(f"Trees must be summed for regression or binary, got {described['objective']!r}.")
        conditions, leaves = _flattened([each["tree_structure"] for each in described["tree_info"]])
        words = math.ceil(leaves.shape[1] / _WORD_BITS)
        flat = [condition for of_trees in zip(*conditions, strict=True) for condition in of_trees]
        kept = np.array([condition.kept_when_right(words) for condition in flat], dtype=np.uint64)
        return cls(
            logistic=_LOGISTIC[described["objective"]],
            feature=np.array([condition.feature for condition in flat], dtype=np.intp),
            threshold=np.array([condition.threshold for condition in flat]),
            missing_goes_left=np.array([condition.missing_goes_left for condition in flat], dtype=np.bool_),
            kept_when_right=kept.reshape(-1, len(leaves), words),
            leaf_value=leaves,
        )

    def predict(self, columns: FloatArray) -> FloatArray:
        """What the booster predicts for rows of its features.

        Parameters
        ----------
        columns : ndarray, shape (n, features)
            In the order of the booster; NaN where a feature could not be measured.

        Returns
        -------
        ndarray, shape (n,)
            The sum of the trees, or the probability it stands for.
        """
        total = np.empty(len(columns))
        for begin in range(0, len(columns), _ROWS_AT_ONCE):
            total[begin : begin + _ROWS_AT_ONCE] = self._sum(columns[begin : begin + _ROWS_AT_ONCE])
        return 1.0 / (1.0 + np.exp(-total)) if self.logistic else total

    def _sum(self, columns: FloatArray) -> FloatArray:
        asked = np.take(columns, self.feature, axis=1)
        left = asked <= self.threshold
        if np.isnan(columns).any():
            left |= np.isnan(asked) & self.missing_goes_left
        went_left = left.reshape(len(columns), *self.kept_when_right.shape[:2], 1)
        kept = np.bitwise_and.reduce(np.where(went_left, _EVERY_LEAF, self.kept_when_right), axis=1)
        tree_count, leaf_count = self.leaf_value.shape
        reached = _first_leaf(kept) + np.arange(0, tree_count * leaf_count, leaf_count)
        total: FloatArray = np.cumsum(np.take(self.leaf_value, reached), axis=1)[:, -1]
        return total


def _first_leaf(kept: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Number of the lowest bit set in words (n, t, w), shape (n, t)."""
    zeros_before = np.bitwise_count(~kept & (kept - np.uint64(1))).astype(np.intp)
    word_count = kept.shape[2]
    if word_count == 1:
        return zeros_before[..., 0]
    zeros_before += _WORD_BITS * np.arange(word_count)
    first: npt.NDArray[np.intp] = np.where(kept, zeros_before, _WORD_BITS * word_count).min(axis=2)
    return first


@dataclass(frozen=True, slots=True)
class _Condition:
    """One condition; going right strikes out the leaves from `first_left` up to `first_right`."""

    feature: int
    threshold: float
    missing_goes_left: bool
    first_left: int
    first_right: int

    def kept_when_right(self, word_count: int) -> list[int]:
        """Leaves kept, lowest word first."""
        struck_out = (1 << self.first_right) - (1 << self.first_left)
        kept = (1 << _WORD_BITS * word_count) - 1 - struck_out
        return [kept >> _WORD_BITS * word & int(_EVERY_LEAF) for word in range(word_count)]


_FILLS_UP = _Condition(0, math.inf, True, 0, 0)
"""Strikes out nothing, whatever is measured."""


def _flattened(roots: Sequence[Node]) -> tuple[list[list[_Condition]], FloatArray]:
    """Conditions of every tree, and its leaves from left to right; filled up to the largest tree."""
    leaves: list[list[float]] = [[] for _ in roots]
    conditions = [list(_conditions(root, of_tree)) for root, of_tree in zip(roots, leaves, strict=True)]
    condition_count, leaf_count = max(1, *map(len, conditions)), max(map(len, leaves))
    filled = [[*of_tree, *[_FILLS_UP] * (condition_count - len(of_tree))] for of_tree in conditions]
    return filled, np.array([[*of_tree, *[0.0] * (leaf_count - len(of_tree))] for of_tree in leaves])


def _conditions(node: Node, leaves: list[float]) -> Iterator[_Condition]:
    """Conditions under a node; its leaves are added to `leaves` from left to right."""
    if "leaf_value" in node:
        leaves.append(float(node["leaf_value"]))
        return
    if node["decision_type"] != "<=" or node["missing_type"] not in ("None", "NaN"):
        kind = f"{node['decision_type']!r}, missing {node['missing_type']!r}"
        raise ValueError(f"A condition must compare a number with a threshold and know missing values, got {kind}.")
    first_left, threshold = len(leaves), float(node["threshold"])
    yield from _conditions(node["left_child"], leaves)
    # LightGBM reads a missing value as 0 where training saw none.
    missing_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
    yield _Condition(int(node["split_feature"]), threshold, missing_left, first_left, len(leaves))
    yield from _conditions(node["right_child"], leaves)
