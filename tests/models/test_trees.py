import lightgbm
import numpy as np
import pytest

from models.trees import Trees

FEATURE_COUNT = 8


def measured(row_count: int, missing_share: float, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(row_count, FEATURE_COUNT))
    rows[chance.random(rows.shape) < missing_share] = np.nan
    return rows


def fitted(objective: str, leaf_count: int, missing_share: float, **settings: object) -> lightgbm.Booster:
    rows = measured(2000, missing_share, seed=1)
    health = np.nansum(rows, axis=1) + np.isnan(rows[:, 0])
    target = (health > 0.0).astype(float) if objective == "binary" else health
    chosen = {"objective": objective, "num_leaves": leaf_count, "min_data_in_leaf": 3, "extra_trees": True, "seed": 1}
    quiet = {"num_threads": 1, "verbose": -1}
    text = lightgbm.train(chosen | settings | quiet, lightgbm.Dataset(rows, target), 12).model_to_string()
    return lightgbm.Booster(model_str=text)


@pytest.mark.parametrize("leaf_count", [2, 7, 64, 65, 150])
@pytest.mark.parametrize("missing_in_training", [0.0, 0.2])
def test_the_sum_of_the_trees_is_lightgbms_to_the_last_bit(leaf_count: int, missing_in_training: float) -> None:
    booster = fitted("regression", leaf_count, missing_in_training)
    asked = measured(300, missing_share=0.3, seed=2)
    assert Trees.of(booster).predict(asked).tolist() == booster.predict(asked, num_threads=1).tolist()


@pytest.mark.parametrize("leaf_count", [7, 100])
def test_a_classifier_gives_lightgbms_probability(leaf_count: int) -> None:
    booster = fitted("binary", leaf_count, 0.2)
    asked = measured(300, missing_share=0.3, seed=2)
    assert Trees.of(booster).predict(asked) == pytest.approx(booster.predict(asked, num_threads=1), rel=1e-15)


def test_a_row_gets_the_same_number_alone_and_among_others() -> None:
    trees = Trees.of(fitted("binary", 15, 0.1))
    asked = measured(70, missing_share=0.1, seed=3)
    alone = [trees.predict(asked[row : row + 1])[0] for row in range(len(asked))]
    assert trees.predict(asked).tolist() == alone


def test_trees_that_found_no_condition_say_their_one_value() -> None:
    booster = fitted("regression", 15, 0.0, min_data_in_leaf=5000)
    asked = measured(3, 0.0, seed=2)
    assert Trees.of(booster).predict(asked).tolist() == booster.predict(asked).tolist()


def test_a_value_at_a_threshold_goes_left_as_in_lightgbm() -> None:
    booster = fitted("regression", 4, 0.0)
    root = booster.dump_model()["tree_info"][0]["tree_structure"]
    at_threshold = np.zeros((3, FEATURE_COUNT))
    threshold = root["threshold"]
    at_threshold[:, root["split_feature"]] = np.nextafter(threshold, -9.0), threshold, np.nextafter(threshold, 9.0)
    assert Trees.of(booster).predict(at_threshold).tolist() == booster.predict(at_threshold).tolist()


def test_no_row_gives_no_number() -> None:
    assert Trees.of(fitted("regression", 4, 0.0)).predict(np.empty((0, FEATURE_COUNT))).tolist() == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"objective": "poisson"}, "poisson"), ({"objective": "l2", "zero_as_missing": True}, "missing 'Zero'")],
)
def test_trees_of_a_kind_never_trained_here_are_refused(settings: dict[str, object], told: str) -> None:
    rows = np.abs(measured(500, 0.0, seed=1))
    data = lightgbm.Dataset(rows, rows.sum(axis=1))
    booster = lightgbm.train({**settings, "verbose": -1, "num_threads": 1}, data, 3)
    with pytest.raises(ValueError, match=told):
        Trees.of(booster)
