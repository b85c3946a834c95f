from datetime import date

import pytest

from features.findings import Severity
from features.identity_findings import code_findings
from features.measurement import BatteryIdentity
from features.vocabulary import Chemistry, Level, Scheme

EVE_LFP_CELL = "04QCB76836300JBC40000903"
LETTER_C_CELL = "02LCC02100101A87Y0026421"


def declared(battery_id: str, **plate: object) -> BatteryIdentity:
    described = {"level": Level.CELL, "chemistry": Chemistry.LFP, "rated_capacity_ah": 35.0} | plate
    return BatteryIdentity.declared(battery_id, **described)


def severities(identity: BatteryIdentity) -> dict[str, Severity]:
    return {finding.code: finding.severity for finding in code_findings(identity)}


def test_a_plate_that_agrees_with_its_code_gives_no_finding():
    assert code_findings(declared(EVE_LFP_CELL, manufactured_on=date(2021, 12, 4))) == ()


def test_nmc_declared_on_code_letter_b_disqualifies_and_shows_both():
    (finding,) = code_findings(declared(EVE_LFP_CELL, chemistry=Chemistry.NMC))

    assert (finding.code, finding.severity) == ("identity.chemistry_conflict", Severity.DISQUALIFYING)
    assert finding.evidence == {"declared": "NMC", "coded": "LFP", "letter": "B", "letter_certain": True}
    assert finding.message.en == "Declared as NMC, but position 5 of the code is B: LFP."


def test_nmc_declared_on_uncertain_letter_c_is_a_caution():
    found = severities(declared(LETTER_C_CELL, chemistry=Chemistry.NMC))

    assert found == {"identity.chemistry_conflict": Severity.CAUTION, "identity.day_ambiguous": Severity.NOTE}


@pytest.mark.parametrize("chemistry", [Chemistry.NMC, Chemistry.NCA, Chemistry.UNKNOWN])
def test_letter_e_agrees_with_both_ternary_chemistries_and_with_unknown(chemistry: Chemistry):
    assert code_findings(declared("04QCE76836300JBC40000903", chemistry=chemistry)) == ()


def test_lfp_declared_on_ternary_letter_e_disqualifies():
    found = severities(declared("04QCE76836300JBC40000903"))

    assert found == {"identity.chemistry_conflict": Severity.DISQUALIFYING}


def test_any_chemistry_declared_on_letter_z_is_a_caution():
    assert severities(declared("04QCZ76836300JBC40000903")) == {"identity.chemistry_conflict": Severity.CAUTION}


def test_a_pack_declared_on_a_cell_code_disqualifies():
    assert severities(declared(EVE_LFP_CELL, level=Level.PACK)) == {"identity.level_conflict": Severity.DISQUALIFYING}


def test_a_cascade_code_is_compared_by_the_level_of_the_cascade_product():
    assert code_findings(declared("04QCB76B4E0000903RM", level=Level.MODULE)) == ()
    assert severities(declared("04QCB76B4E0000903RM", level=Level.CELL)) == {
        "identity.level_conflict": Severity.DISQUALIFYING
    }


def test_a_declared_date_one_day_off_the_code_is_a_caution_and_a_cascade_product_may_keep_its_first_date():
    found = severities(declared(EVE_LFP_CELL, manufactured_on=date(2021, 12, 5)))
    cascade = declared("04QCB76B4E0000903RM", level=Level.MODULE, manufactured_on=date(2018, 1, 1))

    assert found == {"identity.date_conflict": Severity.CAUTION}
    assert code_findings(cascade) == ()


def test_with_an_ambiguous_day_only_year_and_month_are_compared():
    agrees = severities(declared(LETTER_C_CELL, chemistry=Chemistry.LMO, manufactured_on=date(2018, 7, 2)))
    differs = severities(declared(LETTER_C_CELL, chemistry=Chemistry.LMO, manufactured_on=date(2018, 8, 30)))

    assert agrees == {"identity.day_ambiguous": Severity.NOTE}
    assert differs == {"identity.date_conflict": Severity.CAUTION, "identity.day_ambiguous": Severity.NOTE}


@pytest.mark.parametrize(("date_part", "exists"), [("B2Y", False), ("A2X", True), ("B2X", False), ("B30", True)])
def test_a_date_no_reading_of_the_day_letter_makes_possible_is_a_caution(date_part: str, exists: bool):
    found = severities(declared(f"04QCB76836300J{date_part}0000903"))

    assert ("identity.date_impossible" in found) == (not exists)
    assert found["identity.day_ambiguous"] is Severity.NOTE


def test_a_local_identifier_contradicts_nothing():
    assert code_findings(declared("LEAF-07", level=Level.PACK, chemistry=Chemistry.LMO)) == ()
    assert declared("LEAF-07").scheme is Scheme.LOCAL
