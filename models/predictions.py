"""What the trained models say about many batteries, each model asked once.

Batteries are gathered by method and declared type, handed to the estimator together and given back in
the order they came. An estimator works row by row, so whom a battery was asked with changes no bit of
its answer; a battery alone goes the same way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from features.feature_set import Method, MethodFeatures
from models.capacity import Prediction, TrainedEstimator


@dataclass(frozen=True, slots=True)
class Question:
    """One battery for the estimator of one method.

    Attributes
    ----------
    estimator : TrainedEstimator
        The estimator of the method.
    type_key : str
        Known type the battery is declared as.
    features : MethodFeatures
        Its features, every required one measured.
    """

    estimator: TrainedEstimator
    type_key: str
    features: MethodFeatures


@dataclass(frozen=True, slots=True)
class Predicted:
    """What an estimator says about one battery, in state of health.

    Attributes
    ----------
    point, lower, upper : float
        State of health and its interval.
    probability_below : tuple of float
        P(state of health < cut), in the order of the cuts asked.
    distance : float
        How unlike the type; above 1 is outside, infinity unmeasured.
    """

    point: float
    lower: float
    upper: float
    probability_below: tuple[float, ...]
    distance: float


def predicted(questions: Sequence[Question | None], cuts: Sequence[float]) -> list[Predicted | None]:
    """Answers to the questions, in their order; None where nothing was asked.

    Parameters
    ----------
    questions : sequence of Question or None
        Of any methods and types.
    cuts : sequence of float
        Cuts of the policy, in state of health.

    Returns
    -------
    list of Predicted or None
    """
    answers: list[Predicted | None] = [None] * len(questions)
    together: dict[tuple[Method, str, tuple[str, ...]], list[tuple[int, Question]]] = {}
    for place, question in enumerate(questions):
        if question is not None:
            features = question.features
            group = (features.method, question.type_key, tuple(features.values))
            together.setdefault(group, []).append((place, question))
    for (_, type_key, names), asked in together.items():
        matrix = np.array([question.features.array() for _, question in asked])
        prediction = asked[0][1].estimator.predict(matrix, names, type_key, cuts)
        for (place, _), answer in zip(asked, _row_by_row(prediction), strict=True):
            answers[place] = answer
    return answers


def _row_by_row(prediction: Prediction) -> Iterator[Predicted]:
    columns = (prediction.point, prediction.lower, prediction.upper, prediction.probability_below, prediction.distance)
    for point, lower, upper, below, distance in zip(*(column.tolist() for column in columns), strict=True):
        yield Predicted(point, lower, upper, tuple(below), distance)
