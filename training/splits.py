"""Who trains and who is judged: whole physical cells on one side, always.

Every split here is by ``physical_cell``. The same cell under another name, at another age or at
another state of charge is the same cell; a row on the other side of a split would make every figure
look better than the truth. `require_no_leak` is called on every split that is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from features.errors import InvalidInput, PackGradeError, Problem

RowNumbers = npt.NDArray[np.int64]
Names = npt.NDArray[np.object_]


class LeakingSplit(PackGradeError):  # noqa: N818 - reads as what happened
    """A physical cell is on both sides of a split."""


@dataclass(frozen=True)
class Fold:
    """One split of rows.

    Attributes
    ----------
    train, held_out : ndarray of int
        Row numbers; together every row once.
    """

    train: RowNumbers
    held_out: RowNumbers


def require_no_leak(train_cells: Names, held_out_cells: Names) -> None:
    """Refuse a split in which a physical cell is on both sides.

    Raises
    ------
    LeakingSplit
        ``SPLIT_LEAKS``, naming the first cells.
    """
    both = sorted(set(train_cells.tolist()) & set(held_out_cells.tolist()))
    if both:
        raise LeakingSplit(
            "SPLIT_LEAKS",
            f"{len(both)} physical cell(s) are in training and held out at once: {', '.join(map(str, both[:5]))}. "
            "Nothing was trained. Split on physical_cell.",
        )


def require_left_out_types(unseen: Sequence[str], held: Names) -> None:
    """Refuse a plan that leaves out a battery type its data do not hold.

    Raises
    ------
    InvalidInput
        ``UNSEEN_TYPE_NOT_IN_DATA``, naming the type and those there are.
    """
    there = sorted(set(held.tolist()))
    rule = f"must be among the types of the data: {', '.join(there)}"
    problems = [Problem("splits.unseen_type_keys", rule, key) for key in unseen if key not in there]
    if problems:
        message = "The plan leaves out a type the data do not hold. Nothing was trained."
        raise InvalidInput(message, problems, code="UNSEEN_TYPE_NOT_IN_DATA")


def folds_by_physical_cell(physical_cells: Names, type_keys: Names, fold_count: int, seed: int) -> tuple[Fold, ...]:
    """Cross-validation folds; every physical cell is held out exactly once, every type in equal shares.

    Parameters
    ----------
    physical_cells, type_keys : ndarray of str, shape (n,)
        Cell and battery type of every row.
    fold_count : int
        Number of folds, at least 2.
    seed : int
        Seed of the shuffle; it depends on the set of cells, not on the order of rows.

    Raises
    ------
    PackGradeError
        ``TOO_FEW_CELLS`` if there are fewer cells than folds.
    """
    cell_count = len(set(physical_cells.tolist()))
    if cell_count < fold_count:
        raise PackGradeError(
            "TOO_FEW_CELLS",
            f"{cell_count} physical cell(s) cannot make {fold_count} folds. Nothing was trained. "
            "Measure more cells or ask for fewer folds in the plan.",
        )
    splitter = StratifiedGroupKFold(fold_count, shuffle=True, random_state=seed)
    pairs = splitter.split(physical_cells, type_keys, groups=physical_cells)
    return tuple(_checked_fold(train, held_out, physical_cells) for train, held_out in pairs)


def calibration_splits(
    physical_cells: Names, type_keys: Names, calibration_share: float, split_count: int, seed: int
) -> tuple[Fold, ...]:
    """Repeated splits of batteries into those that calibrate (`train`) and those presented (`held_out`).

    Parameters
    ----------
    physical_cells, type_keys : ndarray of str, shape (n,)
        Cell and battery type of every row.
    calibration_share : float
        Share of the cells of each type that calibrate, in (0, 1).
    split_count : int
        How many splits.
    seed : int
        Seed of the draw.
    """
    type_of_cell = dict(sorted(zip(physical_cells.tolist(), type_keys.tolist(), strict=True)))
    draw = np.random.default_rng(seed)
    return tuple(
        _split_by_cells(physical_cells, _presented(type_of_cell, 1.0 - calibration_share, draw))
        for _ in range(split_count)
    )


def split_manifest(physical_cells: Names, folds: tuple[Fold, ...]) -> pd.DataFrame:
    """Which fold holds out which cell: columns ``physical_cell`` and ``held_out_in_fold``, sorted by cell."""
    fold_of_row = np.full(len(physical_cells), -1)
    for number, fold in enumerate(folds):
        fold_of_row[fold.held_out] = number
    manifest = pd.DataFrame({"physical_cell": physical_cells, "held_out_in_fold": fold_of_row})
    return manifest.drop_duplicates().sort_values("physical_cell", ignore_index=True)


def _presented(type_of_cell: dict[str, str], share: float, draw: np.random.Generator) -> list[str]:
    presented: list[str] = []
    for type_key in sorted(set(type_of_cell.values())):
        cells = [cell for cell, of_type in type_of_cell.items() if of_type == type_key]
        chosen = draw.permutation(len(cells))[: round(share * len(cells))]
        presented.extend(cells[number] for number in chosen)
    return presented


def _split_by_cells(physical_cells: Names, presented: list[str]) -> Fold:
    held_out = np.isin(physical_cells.astype(str), presented)
    return _checked_fold(np.flatnonzero(~held_out), np.flatnonzero(held_out), physical_cells)


def _checked_fold(train: RowNumbers, held_out: RowNumbers, physical_cells: Names) -> Fold:
    require_no_leak(physical_cells[train], physical_cells[held_out])
    return Fold(np.asarray(train, dtype=np.int64), np.asarray(held_out, dtype=np.int64))
