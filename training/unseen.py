"""What a bundle says about a battery type it was never trained on.

The type is left out of models and calibration; its batteries are then presented, declared honestly,
through the same assessment the service uses. Members and look of a type rest on its own rows alone,
so leaving one type out leaves those of the others as they are; only classifiers see all types, and
these bundles have none.
"""

from dataclasses import replace
from datetime import UTC, date, datetime

from features.feature_set import FeatureVector
from features.measurement import Inspection
from models.bundle import Bundle
from models.decision import GradingCase
from training.assemble import TrainedMethod, bundle_manifest, calibrated_estimator
from training.calibrate import calibrate
from training.certified import calibrating_batteries
from training.crossfit import HeldOut
from training.fit import FittedModels
from training.labels import identities
from training.plan import Plan
from training.table import FeatureTable

_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
"""No feature and no decision depends on the day."""


def cases(table: FeatureTable) -> list[GradingCase]:
    """Every row of a table as a case that can be decided, in perfect outer condition."""
    return [
        GradingCase(
            identity,
            Inspection(),
            FeatureVector(
                identity.battery_id,
                _MOMENT,
                table.feature_set.method,
                table.feature_set.digest,
                dict(zip(table.feature_set.names, row.tolist(), strict=True)),
            ),
        )
        for identity, row in zip(identities(table.labels), table.values, strict=True)
    ]


def bundle_without_type(
    plan: Plan, table: FeatureTable, held_out: HeldOut, models: FittedModels, type_key: str
) -> Bundle:
    """Bundle of one method, trained and calibrated without any row of a type.

    Parameters
    ----------
    plan : Plan
        The recipe.
    table : FeatureTable
        All rows.
    held_out : HeldOut
        The held-out facts of the other types calibrate.
    models : FittedModels
        Fitted on all rows, without a classifier.
    type_key : str
        Type to leave out.
    """
    others = {key: fitted for key, fitted in models.types.items() if key != type_key}
    without = replace(models, types=others, classifiers={})
    facts = held_out.facts.taken(held_out.facts.type_keys != type_key)
    calibration = calibrate(plan, replace(facts, classifier_probability={}))
    trained = TrainedMethod(plan, table.taken(table.type_keys != type_key), without, calibration)
    return Bundle(
        bundle_manifest(plan.bundle, (trained,), {}, date(2000, 1, 1)),
        {plan.method: calibrated_estimator(without, calibration)},
        {plan.method: calibrating_batteries(calibration.visits)},
    )
