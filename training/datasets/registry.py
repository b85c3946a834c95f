"""Every data set a plan may name, and how it is read: one line for each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from features.errors import InvalidInput
from training.datasets import (
    calce,
    canonical_tables,
    denso_eis,
    faraji_niri_eis,
    fleet,
    lfp102,
    lsd_second_life,
    pulse_pairs,
    pulse_retired,
    pulsebat_tables,
    tongji_raw,
    zhang_eis,
)
from training.labels import LabelledTests
from training.plan import Plan
from training.plan_datasets import CanonicalTablesPlan, settings

PUBLIC_SETS: Mapping[str, Callable[..., LabelledTests]] = {
    "calce": calce.labelled_tests,
    "denso_eis": denso_eis.labelled_tests,
    "faraji_niri_eis": faraji_niri_eis.labelled_tests,
    "lfp102": lfp102.labelled_tests,
    "lsd_second_life": lsd_second_life.labelled_tests,
    "pulse_pairs": pulse_pairs.labelled_tests,
    "pulse_retired": pulse_retired.labelled_tests,
    "pulsebat_tables": pulsebat_tables.labelled_tests,
    "simulated_fleet": fleet.labelled_tests,
    "tongji_raw": tongji_raw.labelled_tests,
    "zhang_eis": zhang_eis.labelled_tests,
}
"""Adapters of public sets by `kind`: called with the data folder, and the plan's settings by name."""


def labelled_tests(plan: Plan, data_folder: Path | None) -> Sequence[LabelledTests]:
    """Every data set of a plan, read.

    Parameters
    ----------
    plan : Plan
        Names the sets.
    data_folder : Path or None
        Folder of the public sets.

    Raises
    ------
    InvalidInput
        ``DATA_FOLDER_NEEDED`` if a public set is named and no folder is given; otherwise what the
        adapter of a set says.
    """
    return [
        canonical_tables.labelled_tests(**settings(dataset), method=plan.method)
        if isinstance(dataset, CanonicalTablesPlan)
        else PUBLIC_SETS[dataset.kind](_given(data_folder), **settings(dataset))
        for dataset in plan.datasets
    ]


def _given(data_folder: Path | None) -> Path:
    if data_folder is None:
        raise InvalidInput(
            "The plan names a public data set and no data folder is given. Nothing was trained. "
            "Give --data-dir, or set PACKGRADE_DATA_DIR.",
            code="DATA_FOLDER_NEEDED",
        )
    return data_folder
