"""Examples of the API description. Each request is one that a running service takes as it stands.

The battery is made up: a pulse train of five amplitudes on a 35 Ah LFP cell, from nine numbers. Replies
show the shape; digests and identifiers differ from one deployment to the next.
"""

from typing import Any

_RATED_AH = 35.0
_RESTED_VOLT = 3.3008
_AMPLITUDES_C = (0.5, 1.0, 1.5, 2.0, 2.5)
# Volt per C of amplitude: at the first sample of a 3 s pulse, at its last, at the first and last of the rest after it.
_CHARGE = (0.0763, 0.0985, 0.0225, 0.0030)
_DISCHARGE = (0.0735, 0.0920, 0.0168, 0.0000)


def _pulse_train() -> dict[str, list[Any]]:
    """Return a train of 3 s pulses as a step table, linear in the current."""
    steps = [("rest", 600.0, 0.0, 0.0, 0.0)]
    for amplitude in _AMPLITUDES_C:
        for step_type, rate, volts in (("charge", amplitude, _CHARGE), ("discharge", -amplitude, _DISCHARGE)):
            begin, end, rest_begin, rest_end = (rate * volt for volt in volts)
            steps.append((step_type, 3.0, rate, begin, end))
            steps.append(("rest", 45.0, 0.0, rest_begin, rest_end))
    return {
        "step_index": list(range(len(steps))),
        "step_type": [step[0] for step in steps],
        "step_duration_second": [step[1] for step in steps],
        "current_ampere": [step[2] * _RATED_AH for step in steps],
        "voltage_begin_volt": [round(_RESTED_VOLT + step[3], 4) for step in steps],
        "voltage_end_volt": [round(_RESTED_VOLT + step[4], 4) for step in steps],
    }


PULSE_TEST: dict[str, Any] = {
    "battery": {
        "battery_id": "04QCB76836300JBC40000903",
        "scheme": "gbt34014",
        "level": "cell",
        "chemistry": "LFP",
        "rated_capacity_ah": _RATED_AH,
    },
    "runs": [{"kind": "pulse_test", "format": "step_table", "table": _pulse_train()}],
    "inspection": {"leakage": False, "swelling": False},
}

PULSE_TEST_IN_A_FILE: dict[str, Any] = {
    **PULSE_TEST,
    "runs": [{"kind": "pulse_test", "format": "step_table", "file": "train"}],
}

LEAKING_PACK: dict[str, Any] = {
    "battery": {
        "battery_id": "PACK-0017",
        "level": "pack",
        "chemistry": "NMC",
        "rated_capacity_ah": 150.0,
        "nominal_voltage_volt": 355.0,
        "series_count": 96,
    },
    "runs": [],
    "inspection": {"leakage": True, "insulation_ohm_per_volt": 42.0},
}

CODE_ON_TWO_LINES: dict[str, Any] = {"text": "04qcb76836300\njbc40000903"}
CODE_WITH_A_SLIP: dict[str, Any] = {"text": "04QXB76836300JBC40000903"}

_SHA256 = "4a44dc15364204a80fe80e9039455cc1608281820fe2b24f1e5233ade6af1dd5"

_HASH = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
_NOTE = f"packgrade/4f1c0a9be2d7\n18\n{_HASH}\n\n— packgrade/4f1c0a9be2d7 9d2Fhk0xVb…\n"
_RECEIPT: dict[str, Any] = {"leaf_hash": _HASH, "inclusion_proof": [_HASH], "checkpoint": _NOTE}

CHECKPOINT: dict[str, Any] = {"checkpoint": _NOTE}
INCLUSION: dict[str, Any] = {"sequence": 0, "size": 1, "inclusion_proof": []}
CONSISTENCY: dict[str, Any] = {"old_size": 1, "new_size": 1, "consistency_proof": []}

DECISION: dict[str, Any] = {
    "decision_id": "0b1d5a3c5f0e4a55a3f0a8f2a1c9d7e4",
    "recorded": {"sequence": 17, "leaf_sha256": _SHA256, "receipt": _RECEIPT},
    "outcome": "cascade",
    "grade": "B",
    "suitable_uses": ["stationary_storage"],
    "capacity": {
        "method": "pulse_test",
        "definition": "1C discharge after CCCV, 25 °C",
        "rated_capacity_ah": 35.0,
        "remaining_capacity_ah": 28.4,
        "lower_ah": 26.9,
        "upper_ah": 29.9,
        "coverage_fraction": 0.9,
        "state_of_health_fraction": 0.811,
        "probability_below_cut": {"0.60": 0.0, "0.70": 0.001, "0.80": 0.27},
    },
    "reasons": [
        {
            "code": "grade.cleared",
            "severity": "note",
            "message": {"en": "The lower bound clears grade B.", "zh": "下限达到B级。"},
            "evidence": {"lower_fraction": 0.769},
        }
    ],
    "next_test": None,
    "bundle": {"name": "reference", "version": "1", "sha256": _SHA256},
    "policy": {"id": "example", "version": "2026-11", "sha256": _SHA256},
    "input_sha256": _SHA256,
}

CORRECTION: dict[str, Any] = {
    "decision_id": DECISION["decision_id"],
    "action": "withdraw",
    "reason": "The measurement file of another battery was handed in.",
    "person": "Li Wei, safety",
}

CORRECTION_RECORDED: dict[str, Any] = {
    "correction_id": "8a1f6a0c1d2b4c3f9a8b7c6d5e4f3a90",
    **{name: CORRECTION[name] for name in ("decision_id", "action", "reason")},
    "battery_id": "04QCB76836300JBC40000903",
    "operator": "98832f42c9115d5ea8de962c6383d9c8",
    "recorded": {"sequence": 19, "leaf_sha256": _SHA256, "receipt": _RECEIPT},
}

OUTCOME: dict[str, Any] = {
    "decision_id": DECISION["decision_id"],
    "remaining_capacity_ah": 27.9,
    "capacity_definition": "1C discharge after CCCV, 25 °C",
    "measured_at": "2026-11-22T08:00:00Z",
    "chosen_at_random": True,
}

OUTCOME_RECORDED: dict[str, Any] = {
    "outcome_id": "5e0f6a0c1d2b4c3f9a8b7c6d5e4f3a2b",
    "decision_id": DECISION["decision_id"],
    "battery_id": "04QCB76836300JBC40000903",
    "recorded": {"sequence": 18, "leaf_sha256": _SHA256, "receipt": _RECEIPT},
    "remaining_capacity_ah": 27.9,
    "capacity_definition": "1C discharge after CCCV, 25 °C",
}

BATTERY: dict[str, Any] = {
    "battery": {
        "battery_id": "04QCB76836300JBC40000903",
        "scheme": "gbt34014",
        "level": "cell",
        "chemistry": "LFP",
        "rated_capacity_ah": 35.0,
        "nominal_voltage_volt": None,
        "series_count": None,
        "parallel_count": None,
        "type_designation": None,
        "manufactured_on": None,
    },
    "decisions": [
        {
            "decision_id": "0b1d5a3c5f0e4a55a3f0a8f2a1c9d7e4",
            "sequence": 17,
            "recorded_at": "2026-11-22T08:30:00.000000Z",
            "outcome": "cascade",
            "grade": "B",
        }
    ],
    "events": [
        {
            "sequence": 42,
            "kind": "outcome",
            "event_id": "5d0c7f6b8e1a4c2f9b3a6d7e8f901234",
            "recorded_at": "2026-11-25T08:30:00.000000Z",
            "names": "0b1d5a3c5f0e4a55a3f0a8f2a1c9d7e4",
        }
    ],
}

CODE_READ: dict[str, Any] = {
    "code": "04QCB76836300JBC40000903",
    "valid": True,
    "scheme": "gbt34014",
    "problems": [],
    "maker_code": "04Q",
    "maker_name": "EVE",
    "level": "cell",
    "cascade_level": None,
    "battery_type_letter": "B",
    "chemistries": ["LFP"],
    "chemistry_certain": True,
    "specification": "76",
    "traceability": "836300J",
    "manufacture_year": 2021,
    "manufacture_month": 12,
    "manufactured_on": "2021-12-04",
    "day_ambiguous": False,
    "day_readings": [],
    "serial": "0000903",
}

ERROR: dict[str, Any] = {
    "error": {
        "code": "INVALID_INPUT",
        "message": "The request does not have the required shape. Nothing was graded.",
        "details": [{"where": "battery.rated_capacity_ah", "rule": "Input should be a valid number", "value": "35 Ah"}],
    }
}
