"""What a bundle says about a battery type it was never trained on.

The recipe is fitted again without any row of the type; the type's batteries are then presented,
declared honestly, through the same assessment the service uses.
"""

from datetime import UTC, date, datetime

from features.feature_set import FeatureVector, Method
from features.measurement import Inspection
from models.assessment import assess
from models.bundle import Bundle
from models.decision import Assessment, GradingCase
from models.terms import GradingTerms
from training.assemble import bundle_manifest, calibrated_estimator
from training.calibrate import calibrate
from training.crossfit import HeldOut
from training.fit import fit_models, supported_classifier_cuts
from training.labels import identities
from training.plan import Plan
from training.table import FEATURE_SET, FeatureTable

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
                Method.PULSE_TEST,
                FEATURE_SET.digest,
                dict(zip(FEATURE_SET.names, row.tolist(), strict=True)),
            ),
        )
        for identity, row in zip(identities(table.labels), table.values, strict=True)
    ]


def assessments_without_type(
    plan: Plan, table: FeatureTable, held_out: HeldOut, type_key: str, terms: GradingTerms
) -> list[tuple[GradingCase, Assessment]]:
    """Assessments of every counted row of a type by a bundle trained without it.

    Parameters
    ----------
    plan : Plan
        The recipe.
    table : FeatureTable
        All rows.
    held_out : HeldOut
        Counted rows and the held-out facts of the other types, which calibrate.
    type_key : str
        Type to leave out.
    terms : GradingTerms
        What the assessment takes from the policy.

    Returns
    -------
    list of (GradingCase, Assessment)
    """
    others = table.taken(table.type_keys != type_key)
    calibration = calibrate(plan, held_out.facts.taken(held_out.facts.type_keys != type_key))
    estimator = calibrated_estimator(fit_models(plan, others, supported_classifier_cuts(plan, others)), calibration)
    bundle = Bundle(bundle_manifest(plan, others, {}, date(2000, 1, 1)), {Method.PULSE_TEST: estimator})
    presented = cases(held_out.table.taken(held_out.table.type_keys == type_key))
    return [(case, assess(case, bundle, terms)) for case in presented]
