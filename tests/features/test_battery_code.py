from dataclasses import replace
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.battery_code import parse_battery_code
from features.battery_code_tables import SHIPPED_TABLES
from features.errors import Problem
from features.vocabulary import Chemistry, Level, Scheme

EVE_CELL = "04QCB76836300JBC40000903"
CASCADE_MODULE = "04QCB76B4E0000903RM"
MAKERS_OWN = "0123456789ABCDEFGHJKLMNOPQRSTUVWXYZ"
DAYS = "123456789ABCDEFGHJKLMNPRSTUVWXY0"


def with_character(position: int, character: str, code: str = EVE_CELL) -> str:
    return code[: position - 1] + character + code[position:]


def places(text: str) -> list[str]:
    return [problem.where for problem in parse_battery_code(text).problems]


def test_the_published_label_of_an_eve_cell_reads_as_lfp_of_4_december_2021_serial_903():
    parsed = parse_battery_code(EVE_CELL)

    assert parsed.valid
    assert (parsed.maker_code, parsed.maker_name) == ("04Q", "EVE")
    assert (parsed.level, parsed.chemistry, parsed.chemistry_certain) == (Level.CELL, Chemistry.LFP, True)
    assert (parsed.specification, parsed.traceability) == ("76", "836300J")
    assert (parsed.manufactured_on, parsed.day_ambiguous) == (date(2021, 12, 4), False)
    assert (parsed.serial, parsed.scheme, parsed.cascade_level) == ("0000903", Scheme.GBT34014, None)


def test_the_published_label_of_a_catl_cell_reads_as_lfp_of_12_march_2021():
    parsed = parse_battery_code("001CB240000003B3C0221953")

    assert (parsed.maker_name, parsed.chemistry) == ("CATL", Chemistry.LFP)
    assert (parsed.manufactured_on, parsed.serial) == (date(2021, 3, 12), "0221953")


def test_day_letter_y_is_ambiguous_so_month_is_known_and_date_is_not():
    parsed = parse_battery_code("02LCC02100101A87Y0026421")

    assert parsed.valid
    assert parsed.day_ambiguous
    assert parsed.day_readings == (30, 31)
    assert (parsed.manufacture_year, parsed.manufacture_month, parsed.manufactured_on) == (2018, 7, None)
    assert (parsed.chemistry, parsed.chemistry_certain) == (Chemistry.LMO, False)
    assert parsed.maker_name is None


@pytest.mark.parametrize("day", "UVWXY0")
def test_days_public_tables_disagree_about_are_ambiguous_and_valid(day: str):
    parsed = parse_battery_code(with_character(17, day))

    assert parsed.valid
    assert parsed.day_ambiguous
    assert parsed.manufactured_on is None


@pytest.mark.parametrize(("letter", "day"), [("1", 1), ("9", 9), ("A", 10), ("H", 17), ("J", 18), ("P", 23), ("T", 26)])
def test_days_up_to_t_are_certain_and_skip_i_and_o_and_q(letter: str, day: int):
    parsed = parse_battery_code(with_character(17, letter))

    assert parsed.manufactured_on == date(2021, 12, day)
    assert not parsed.day_ambiguous


@pytest.mark.parametrize(
    ("letter", "year"),
    [("1", 2011), ("9", 2019), ("A", 2020), ("H", 2027), ("J", 2028), ("P", 2033), ("T", 2036), ("V", 2037)],
)
def test_years_count_from_2011_and_skip_i_and_o_and_q_and_u(letter: str, year: int):
    assert parse_battery_code(with_character(15, letter)).manufacture_year == year


def test_lower_case_and_a_code_printed_over_two_lines_are_accepted():
    parsed = parse_battery_code("  04qcb76836300\r\n jbc4 0000903\t")

    assert parsed.valid
    assert parsed.code == EVE_CELL


def test_ternary_is_certain_but_names_two_chemistries_and_so_no_single_one():
    parsed = parse_battery_code(with_character(5, "E"))

    assert parsed.chemistries == (Chemistry.NMC, Chemistry.NCA)
    assert (parsed.chemistry, parsed.chemistry_certain) == (None, True)


@pytest.mark.parametrize("letter", "ACDFGZ")
def test_every_battery_type_but_b_and_e_is_uncertain(letter: str):
    parsed = parse_battery_code(with_character(5, letter))

    assert parsed.valid
    assert not parsed.chemistry_certain


def test_a_cascade_code_has_19_characters_and_names_the_original_and_the_new_level():
    parsed = parse_battery_code(CASCADE_MODULE)

    assert parsed.valid
    assert parsed.scheme is Scheme.GBT34014_CASCADE
    assert (parsed.level, parsed.cascade_level) == (Level.CELL, Level.MODULE)
    assert (parsed.manufactured_on, parsed.serial) == (date(2021, 4, 14), "0000903")
    assert (parsed.specification, parsed.traceability) == ("76", None)


@pytest.mark.parametrize(("position", "character"), [(18, "X"), (19, "R"), (17, "A"), (8, "I"), (9, "D"), (4, "R")])
def test_a_wrong_position_of_a_cascade_code_is_named(position: int, character: str):
    assert places(with_character(position, character, CASCADE_MODULE)) == [f"position {position}"]


@pytest.mark.parametrize(
    ("position", "character"),
    [
        *((1, "-"), (4, "R"), (5, "H"), (6, "é"), (15, "0"), (15, "Q"), (15, "U"), (15, "Z"), (16, "D"), (16, "0")),
        *((17, "O"), (17, "Q"), (17, "Z"), (18, "A"), (24, "٣"), (24, "３")),
    ],
)
def test_a_wrong_position_is_named_with_its_value(position: int, character: str):
    (problem,) = parse_battery_code(with_character(position, character)).problems

    assert (problem.where, problem.value) == (f"position {position}", character)


@pytest.mark.parametrize("position", range(1, 25))
def test_the_letter_i_is_refused_at_every_position(position: int):
    assert places(with_character(position, "I")) == [f"position {position}"]


@pytest.mark.parametrize("letter", "ıſ")
def test_letters_whose_capital_looks_latin_are_not_taken_for_it(letter: str):
    assert places(with_character(3, letter)) == ["position 3"]


@pytest.mark.parametrize("letter", "OQZ")
def test_o_q_and_z_are_let_through_in_the_makers_own_positions(letter: str):
    assert all(parse_battery_code(with_character(position, letter)).valid for position in (1, 2, 3, 6, 7, 8, 14))


def test_every_wrong_position_is_named_not_only_the_first():
    parsed = parse_battery_code("jbc4000090304qcb76836300")

    assert [str(problem) for problem in parsed.problems] == [
        "position 4: product type must be P, M or C (got 4)",
        "position 5: battery type must be one of A to G or Z (got 0)",
    ]
    assert (parsed.scheme, parsed.maker_code, parsed.manufactured_on) == (Scheme.GBT34014, None, None)


def test_a_wrong_length_is_named_beside_the_wrong_positions():
    parsed = parse_battery_code("A765101015")

    assert parsed.scheme is Scheme.LOCAL
    assert parsed.problems[0] == Problem(
        "length", "a battery code has 24 characters, a cascade code 19", "10 characters"
    )
    assert places("A765101015") == ["length", "position 4", "position 5"]


@pytest.mark.parametrize("text", ["", EVE_CELL[:-1], EVE_CELL + "0"])
def test_one_character_more_or_less_is_no_code(text: str):
    assert places(text) == ["length"]


def test_31_february_is_refused_once_a_table_settles_the_day_letter():
    february_y = "04QCB76836300JB2Y0000903"
    settled = replace(SHIPPED_TABLES, day={**SHIPPED_TABLES.day, "Y": 31}, day_readings={})

    (problem,) = parse_battery_code(february_y, settled).problems

    assert str(problem) == "position 17: the coded date does not exist (got 2021-02-31)"
    assert parse_battery_code("04QCB76836300JB1Y0000903", settled).manufactured_on == date(2021, 1, 31)
    assert parse_battery_code(february_y).valid


@given(st.text(max_size=60) | st.text(alphabet=MAKERS_OWN, min_size=17, max_size=26))
@example("\ud800")
@example("ß" * 12)
@example("04QCB76836300JBC40000903" * 1000)
def test_no_text_makes_the_parser_raise_and_an_invalid_one_is_not_interpreted(text: str):
    parsed = parse_battery_code(text)

    assert parsed.valid == (not parsed.problems)
    assert parsed.valid or (parsed.maker_code, parsed.level, parsed.serial, parsed.chemistries) == (
        None,
        None,
        None,
        (),
    )
    assert parse_battery_code(parsed.code) == parsed


design = st.tuples(
    st.text(MAKERS_OWN, min_size=3, max_size=3),
    st.sampled_from("PMC"),
    st.sampled_from("ABCDEFGZ"),
    st.text(MAKERS_OWN, min_size=2, max_size=2),
)
produced = st.tuples(
    st.sampled_from("123456789ABCDEFGHJKLMNPRST"),
    st.sampled_from("123456789ABC"),
    st.sampled_from(DAYS),
    st.text("0123456789", min_size=7, max_size=7),
)


@given(design, st.text(MAKERS_OWN, min_size=7, max_size=7), produced)
def test_a_code_put_together_from_its_parts_is_valid_and_gives_them_back(
    first: tuple[str, ...], traceability: str, last: tuple[str, ...]
):
    parsed = parse_battery_code("".join((*first, traceability, *last)).lower())

    assert parsed.valid, parsed.problems
    assert (parsed.maker_code, parsed.battery_type_letter, parsed.specification) == (first[0], first[2], first[3])
    assert (parsed.traceability, parsed.serial) == (traceability, last[3])
    assert (parsed.manufactured_on is None) == parsed.day_ambiguous == (last[2] in "UVWXY0")


@given(design, produced, st.sampled_from("PMC"))
def test_a_cascade_code_put_together_from_its_parts_is_valid_and_gives_them_back(
    first: tuple[str, ...], last: tuple[str, ...], level: str
):
    parsed = parse_battery_code("".join((*first, *last, "R", level)))

    assert parsed.valid, parsed.problems
    assert parsed.cascade_level is {"P": Level.PACK, "M": Level.MODULE, "C": Level.CELL}[level]
    assert (parsed.maker_code, parsed.specification, parsed.serial) == (first[0], first[3], last[3])
