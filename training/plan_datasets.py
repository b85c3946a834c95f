"""Which data sets a plan may name, and what each of them may be told.

A public set that needs no setting is one word in `PublicSetPlan.kind`; one that does gets a class of
its own with its settings. How a set is read is in `training.datasets.registry`, under the same word.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from training.plan_tables import Count, NotNegative, Positive, Seed, Table, Text, Word, YesOrNo


class PublicSetPlan(Table):
    """A set under the data folder, without settings: a public one, or the simulated fleet that is the folder."""

    kind: Literal[
        "denso_eis",
        "faraji_niri_eis",
        "pulse_pairs",
        "pulse_retired",
        "pulsebat_tables",
        "simulated_fleet",
        "zhang_eis",
    ]


class CanonicalTablesPlan(Table):
    """Tables of your own: manifest and labels, relative to the plan file."""

    kind: Literal["canonical_tables"]
    name: Word
    licence: Text
    manifest: Path
    labels: Path


class ChargeCurvesPlan(Table):
    """A public set of charge curves, and the windows that are cut from them (`training.datasets.charge_curves`).

    Attributes
    ----------
    whole : bool
        Whether the whole curve is a test too, beside its windows.
    tests_per_cell : int
        Curves of a cell that are used, spread evenly over its life.
    window_volt : tuple of float
        One window of each width per curve, at a random voltage. [V]
    window_charge_fraction : tuple of float
        One window of each charge over rated capacity, begun at a random charge. [1]
    charged_range : tuple of two floats
        Windows by charge lie between these shares of the curve's own charge. [1]
    seed : int
        Seed of the windows' places.
    """

    kind: Literal["calce", "lfp102", "lsd_second_life", "tongji_raw"]
    whole: YesOrNo
    tests_per_cell: Count
    window_volt: tuple[Positive, ...] = ()
    window_charge_fraction: tuple[Positive, ...] = ()
    charged_range: tuple[NotNegative, NotNegative] = (0.0, 1.0)
    seed: Seed


DatasetPlan = Annotated[
    PublicSetPlan | ChargeCurvesPlan | CanonicalTablesPlan,
    Field(discriminator="kind"),
]


def settings(dataset: Table) -> dict[str, Any]:
    """What a plan says about a data set beside its kind, by name."""
    return {name: getattr(dataset, name) for name in type(dataset).model_fields if name != "kind"}
