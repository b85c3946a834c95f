import base64
import re

import numpy as np
import pandas as pd
import pytest

from models.policy_file import SHIPPED_POLICY
from training.evaluation import ALL_TYPES
from training.figures import error_against, feature_importances
from training.html_report import evaluation_page
from training.report_page import report_page
from training.run import Judged, JudgedBundle


@pytest.fixture(scope="module")
def page(tiny_judged: Judged) -> str:
    return report_page(JudgedBundle.of(tiny_judged), SHIPPED_POLICY)


def test_the_page_loads_nothing_from_anywhere(page: str) -> None:
    sources = re.findall(r"(?:src|href)=['\"]([^'\"]{0,30})", page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in re.sub(r"base64,[^']*", "", page)
    assert "<script" not in page


def test_every_picture_on_the_page_is_one_and_says_what_it_shows(page: str) -> None:
    pictures = re.findall(r"<img alt='([^']+)' src='data:image/png;base64,([^']+)'>", page)
    assert all(base64.b64decode(encoded).startswith(b"\x89PNG") for _, encoded in pictures)
    words = [alt for alt, _ in pictures]
    for expected in (
        "Predicted against measured",
        "Coverage of the interval",
        "Batteries that calibrate",
        "Reliability of the probabilities",
        "Error against charged",
        "Feature importances",
    ):
        assert any(alt.startswith(expected) for alt in words), expected


def test_every_type_has_its_row_of_figures(page: str, tiny_judged: Judged) -> None:
    for key, figures in tiny_judged.evaluation.visits.items():
        assert f"<td>{key}</td><td>{figures.covered.total}</td>" in page
    assert f"<td>{ALL_TYPES}</td>" in page


def test_the_certificate_or_its_refusal_stands_on_the_page(page: str) -> None:
    assert "cannot be promised" in page or "Of all batteries presented" in page or "no certificate grades it" in page


def test_a_name_with_markup_stands_inert_on_the_page() -> None:
    assert "<b>" not in evaluation_page("<b>bold</b>", [])


def test_an_error_is_not_drawn_against_what_is_unknown_or_always_the_same() -> None:
    estimates = pd.DataFrame({"estimated": [0.8, 0.9], "measured": [0.8, 0.8], "type_key": ["a", "a"]})
    assert error_against(estimates, np.array([np.nan, np.nan]), "x") is None
    assert error_against(estimates, np.array([25.0, 25.0]), "x") is None
    assert error_against(estimates, np.array([10.0, 25.0]), "x") is not None


def test_without_tree_members_there_are_no_importances() -> None:
    assert feature_importances({}) is None
    assert feature_importances({"a": 1.0}) is not None
