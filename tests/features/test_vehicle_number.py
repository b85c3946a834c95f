import pytest

from features.vehicle_number import MASKED, is_vehicle_number, vehicle_number_problems, without_vehicle_numbers

# 1M8GDM9AXKP042788 is the worked example of 49 CFR 565; the second is the all-ones number every checker passes.
VALID = ("1M8GDM9AXKP042788", "11111111111111111", "5GZCZ43D13S812715")


@pytest.mark.parametrize("number", VALID)
def test_a_number_with_its_check_digit_is_a_vehicle_number(number: str) -> None:
    assert is_vehicle_number(number)
    assert is_vehicle_number(f" {number.lower()} ")


@pytest.mark.parametrize(
    "text",
    [
        "1M8GDM9A1KP042788",  # another check digit
        "1M8GDM9AXKP04278",
        "1M8GDM9AXKP0427888",
        "IM8GDM9AXKP042788",
        "1M8GDM9AXKPO42788",
        "04QCB76836300JBC40000903",
        "04QCB76B4E0000903RM",
        "CELL-000000000017",
        "",
    ],
)
def test_other_texts_are_none(text: str) -> None:
    assert not is_vehicle_number(text)


def test_every_wrong_check_digit_is_noticed() -> None:
    passing = [each for each in "0123456789X" if is_vehicle_number(f"1M8GDM9A{each}KP042788")]
    assert passing == ["X"]


def test_a_number_inside_a_text_is_masked_and_a_long_fraction_is_left() -> None:
    assert without_vehicle_numbers("pack_1M8GDM9AXKP042788_2.csv") == f"pack_{MASKED}_2.csv"
    assert without_vehicle_numbers("0.11111111111111111") == "0.11111111111111111"
    assert without_vehicle_numbers("A1M8GDM9AXKP042788") == "A1M8GDM9AXKP042788"


def test_a_problem_names_the_place_and_not_the_number() -> None:
    texts = [("battery_id", "VIN 1M8GDM9AXKP042788"), ("type_designation", None), ("station", "north")]
    (problem,) = vehicle_number_problems(texts)
    assert problem.where == "battery_id"
    assert "1M8GDM9AXKP042788" not in str(problem)
