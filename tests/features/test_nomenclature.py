import re
from pathlib import Path

import pytest

from features.feature_set import FEATURE_SETS, Method
from features.vocabulary import COLUMNS, NUMBERED_COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "nomenclature.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([^`]+)`", PAGE))


@pytest.mark.parametrize("table_format", list(COLUMNS))
def test_every_canonical_column_is_in_the_nomenclature(table_format):
    columns = (*COLUMNS[table_format], *NUMBERED_COLUMNS.get(table_format, ()))
    assert {column.name for column in columns} <= NAMED


@pytest.mark.parametrize("method", list(FEATURE_SETS))
def test_every_feature_is_in_the_nomenclature(method):
    slot = re.compile(r"_\d\.\dc(_charge|_discharge)?$")
    pulsed = method in (Method.PULSE_TEST, Method.TWO_PULSE_TRAINS)
    names = [re.sub(r"slice_\d\d", "slice", name) for name in FEATURE_SETS[method].names]
    quantities = {slot.sub("", name) if pulsed else name for name in names}
    assert quantities <= NAMED
