"""The level of insulation that counts, and its trend."""

import math

import numpy as np
import pytest

from features.insulation import insulation_record
from features.telemetry_findings import insulation_findings

DAY = 86_400.0


def reported(kiloohm, days=90.0, volt=350.0):
    kiloohm = np.asarray(kiloohm)
    return insulation_record(np.linspace(0.0, days * DAY, kiloohm.size), kiloohm, np.full(kiloohm.size, volt))


def test_insulation_that_halves_in_three_months_is_a_finding_and_one_that_stands_is_none():
    sinking = reported(np.linspace(2000.0, 1000.0, 900))
    assert sinking.change_fraction_per_month == pytest.approx(-0.226, abs=0.005)
    (finding,) = insulation_findings(sinking)
    assert finding.code == "field_telemetry.insulation_sinking"
    steady = reported(np.full(900, 2000.0))
    assert steady.change_fraction_per_month == 0.0
    assert not list(insulation_findings(steady))


def test_a_slow_fall_and_a_rise_are_no_finding():
    assert not list(insulation_findings(reported(np.linspace(2000.0, 1700.0, 900))))
    assert not list(insulation_findings(reported(np.linspace(1000.0, 2000.0, 900))))


def test_two_weeks_show_no_trend():
    found = reported(np.linspace(2000.0, 1000.0, 900), days=14.0)
    assert math.isnan(found.change_fraction_per_month)
    assert found.low_ohm_per_volt == pytest.approx(2886.0, abs=10.0)
    assert not list(insulation_findings(found))


def test_single_odd_values_missing_ones_and_a_dead_pack_do_not_count():
    kiloohm = np.full(900, 2000.0)
    kiloohm[[3, 500]], kiloohm[::5] = 1.0, np.nan
    assert reported(kiloohm).low_ohm_per_volt == pytest.approx(5714.0, abs=1.0)
    assert math.isnan(reported(kiloohm, volt=20.0).low_ohm_per_volt)
    assert math.isnan(reported(np.full(9, np.nan)).low_ohm_per_volt)
