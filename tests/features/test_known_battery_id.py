"""One battery is known under one identifier, however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.battery_code import battery_id_is_sound, known_battery_id
from features.measurement import BatteryIdentity
from features.vehicle_number import vehicle_number_problems
from features.vocabulary import Chemistry, Level, Scheme

CODE, CASCADE_CODE = "04QCB01SAMPLE0B340000101", "04QCB76B4E0000903RM"
_WIDE = str.maketrans({chr(each): chr(each + 0xFEE0) for each in range(0x21, 0x7F)})
_ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\uff0d"
_SPACES = " \u00a0\u2009\u3000"
_NAMES = [CODE, CASCADE_CODE, "PACK-1", "电池-7", "RACK1 12", "模组A-003"]


@st.composite
def disguised(draw: st.DrawFn, name: str) -> str:
    """The same identifier in other case, width, dashes, digits and spaces."""
    written = "".join(draw(st.sampled_from((each, each.lower(), each.translate(_WIDE)))) for each in name)
    written = "".join(draw(st.sampled_from((each, each.translate(_ARABIC)))) for each in written)
    written = "".join(draw(st.sampled_from(_DASHES)) if each == "-" else each for each in written)
    written = written.replace(" ", draw(st.text(_SPACES, min_size=1, max_size=3)))
    around = draw(st.text(_SPACES, max_size=2))
    return around + written.replace("-", draw(st.sampled_from(("-", " - ", "- ")))) + around


@given(st.data(), st.sampled_from(_NAMES), st.sampled_from((None, Scheme.LOCAL)))
def test_no_case_width_dash_digit_space_or_scheme_makes_another_battery_of_one(
    data: st.DataObject, name: str, scheme: Scheme | None
) -> None:
    written = data.draw(disguised(name))
    plate = {"level": Level.CELL, "chemistry": Chemistry.LFP, "rated_capacity_ah": 35.0}
    told = BatteryIdentity.declared(written, scheme=scheme, **plate)
    plain = BatteryIdentity.declared(name, **plate)
    assert (told, told.battery_id) == (plain, name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PACK-1", "PACK-11"),
        ("PACK-1", "PACK1"),
        ("PACK-1", "PACK_1"),
        ("RACK 1 12", "RACK 11 2"),
        ("CELL 1 1", "CELL 11"),
        ("电池-1", "模组-1"),
        (CODE, CODE[:-1] + "2"),
    ],
)
def test_batteries_that_really_differ_stay_apart(one: str, other: str) -> None:
    assert known_battery_id(one) != known_battery_id(other)


@given(st.text(max_size=70))
def test_a_sound_identifier_is_written_as_it_is_known(text: str) -> None:
    known = known_battery_id(text)
    assert not battery_id_is_sound(known) or known_battery_id(known) == known


@pytest.mark.parametrize(
    "written",
    ["1M8GDM9AXKP042788", "１M8GDM9AXKP042788", "1M8GDM9AXKP 042788", "1m8gdm9axkp٠42788"],
)
def test_a_vehicle_number_is_recognised_in_every_writing_that_becomes_one(written: str) -> None:
    assert known_battery_id(written) == "1M8GDM9AXKP042788"
    assert len(vehicle_number_problems([("battery_id", written)])) == 1
    assert not vehicle_number_problems([("battery_id", "1M8GDM9A1KP 042788")])
