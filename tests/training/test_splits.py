import numpy as np
import pytest

from features.errors import PackGradeError
from training.splits import LeakingSplit, calibration_splits, folds_by_physical_cell, require_no_leak, split_manifest

CELLS = np.array([f"cell{number // 3}" for number in range(60)], dtype=object)
TYPES = np.array(["LFP20"] * 30 + ["NMC21"] * 30, dtype=object)


def test_a_split_with_a_cell_on_both_sides_is_refused_and_names_the_cell():
    with pytest.raises(LeakingSplit, match=r"SPLIT_LEAKS.*cell1"):
        require_no_leak(CELLS[:4], CELLS[4:8])


def test_a_split_between_cells_is_accepted():
    require_no_leak(CELLS[:3], CELLS[3:6])


def test_every_cell_is_held_out_exactly_once_with_all_its_rows():
    folds = folds_by_physical_cell(CELLS, TYPES, 5, seed=0)
    held_out = np.concatenate([fold.held_out for fold in folds])
    assert sorted(held_out.tolist()) == list(range(60))
    for fold in folds:
        assert not set(CELLS[fold.train]) & set(CELLS[fold.held_out])


def test_every_fold_holds_out_both_types():
    for fold in folds_by_physical_cell(CELLS, TYPES, 5, seed=0):
        assert set(TYPES[fold.held_out]) == {"LFP20", "NMC21"}


def test_the_same_seed_gives_the_same_folds_and_another_seed_others():
    first, again, other = (split_manifest(CELLS, folds_by_physical_cell(CELLS, TYPES, 5, seed)) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_fewer_cells_than_folds_are_refused():
    with pytest.raises(PackGradeError, match=r"TOO_FEW_CELLS.*1 physical cell"):
        folds_by_physical_cell(CELLS[:3], TYPES[:3], 5, seed=0)


def test_calibration_splits_present_a_quarter_of_the_cells_of_each_type():
    for split in calibration_splits(CELLS, TYPES, 0.75, 20, seed=0):
        assert not set(CELLS[split.train]) & set(CELLS[split.held_out])
        for type_key in ("LFP20", "NMC21"):
            presented = set(CELLS[split.held_out][TYPES[split.held_out] == type_key])
            assert len(presented) == 2
