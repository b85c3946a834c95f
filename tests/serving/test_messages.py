import copy
import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from features.errors import InvalidInput
from features.vocabulary import Provenance, Scheme
from serving.messages import BatteryFile, CodeReply, GradeRequest, code_reply
from serving.openapi_examples import CODE_READ, LEAKING_PACK, PULSE_TEST
from serving.wire import value_at
from serving.wire_history import history_from_request

RECEIVED = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
TELEMETRY = {
    "battery": {"battery_id": "P-1", "level": "pack", "chemistry": "NMC", "rated_capacity_ah": 150},
    "runs": [
        {
            "kind": "field_telemetry",
            "format": "telemetry",
            "table": {
                "unix_time_second": [1.7e9, 1.7e9 + 10, 1.7e9 + 20],
                "pack_voltage_volt": [350.0, None, 351.0],
                "pack_current_ampere": [10.0, 10.0, 10.0],
                "reported_soc_percent": [40, 40, 41],
            },
        }
    ],
}


def changed(request, path, value):
    document = copy.deepcopy(request)
    target = document
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    return document


def read(document):
    return GradeRequest.model_validate_json(json.dumps(document))


def history(document):
    return history_from_request(read(document), RECEIVED)


def places_refused(document):
    with pytest.raises((ValidationError, InvalidInput)) as caught:
        history(document)
    if isinstance(caught.value, InvalidInput):
        return [problem.where for problem in caught.value.problems]
    return [".".join(map(str, each["loc"])) for each in caught.value.errors()]


def test_a_request_becomes_a_history_of_the_declared_battery():
    told = history(PULSE_TEST)
    (run,) = told.runs
    assert told.identity.battery_id == "04QCB76836300JBC40000903"
    assert (run.started_at, run.available_at) == (RECEIVED, RECEIVED)
    assert run.table.floats("current_ampere").tolist()[:5] == [0.0, 17.5, 0.0, -17.5, 0.0]
    assert told.inspection.leakage is False
    assert told.inspection.burn is None


def test_the_scheme_is_recognised_and_the_code_normalised_where_no_scheme_is_declared():
    battery = {**PULSE_TEST["battery"], "battery_id": "04qcb76836300\njbc40000903", "scheme": None}
    identity = history({**PULSE_TEST, "battery": battery}).identity
    assert (identity.battery_id, identity.scheme) == ("04QCB76836300JBC40000903", Scheme.GBT34014)
    assert history(LEAKING_PACK).identity.scheme is Scheme.LOCAL


def test_a_battery_without_runs_is_taken_but_the_key_runs_is_required():
    assert history(LEAKING_PACK).runs == ()
    assert places_refused({key: value for key, value in LEAKING_PACK.items() if key != "runs"}) == ["runs"]


def test_an_integer_stands_for_a_number():
    assert history(changed(PULSE_TEST, ["battery", "rated_capacity_ah"], 35)).identity.rated_capacity_ah == 35.0


@pytest.mark.parametrize("value", [True, "35.0", None, [35.0], "NaN"])
def test_what_is_no_number_is_refused_for_the_rated_capacity(value):
    assert places_refused(changed(PULSE_TEST, ["battery", "rated_capacity_ah"], value)) == ["battery.rated_capacity_ah"]


def test_an_integer_of_hundreds_of_digits_is_refused():
    places = places_refused(changed(PULSE_TEST, ["battery", "rated_capacity_ah"], 10**400))
    assert places == ["battery.rated_capacity_ah"]
    table = ["runs", 0, "table", "current_ampere", 2]
    assert places_refused(changed(PULSE_TEST, table, 10**400)) == ["runs[0].table.current_ampere[2]"]


@pytest.mark.parametrize(
    "path",
    [["surprise"], ["battery", "owner"], ["inspection", "smell"], ["runs", 0, "temperature"]],
)
def test_an_unknown_key_is_refused_at_every_level(path):
    assert places_refused(changed(PULSE_TEST, path, 1)) == [".".join(map(str, path))]


def test_an_unknown_column_is_refused_with_its_place():
    places = places_refused(changed(PULSE_TEST, ["runs", 0, "table", "soc"], [1.0] * 21))
    assert places == ["runs[0].table.soc"]


@pytest.mark.parametrize("value", [True, "0.0", None, [1.0], {"a": 1}])
def test_what_is_no_number_is_refused_in_a_column_of_numbers(value):
    places = places_refused(changed(PULSE_TEST, ["runs", 0, "table", "current_ampere", 2], value))
    assert places == ["runs[0].table.current_ampere[2]"]


def test_a_number_is_refused_in_the_column_of_words():
    assert places_refused(changed(PULSE_TEST, ["runs", 0, "table", "step_type", 1], 1)) == [
        "runs[0].table.step_type[1]"
    ]


def test_null_stands_for_not_reported_in_telemetry_and_nowhere_else():
    table = history(TELEMETRY).runs[0].table
    assert math.isnan(table.floats("pack_voltage_volt")[1])
    warm = changed(PULSE_TEST, ["runs", 0, "table", "surface_temperature_celsius"], [25.0, None] + [25.1] * 19)
    measured = history(warm).runs[0].table.floats("surface_temperature_celsius")
    assert np.flatnonzero(np.isnan(measured)).tolist() == [1]
    boolean = changed(TELEMETRY, ["runs", 0, "table", "pack_voltage_volt", 1], False)
    assert places_refused(boolean) == ["runs[0].table.pack_voltage_volt[1]"]


def test_unequal_columns_and_empty_tables_are_refused():
    assert places_refused(changed(PULSE_TEST, ["runs", 0, "table", "current_ampere"], [0.0])) == ["runs[0].table"]
    empty = {name: [] for name in PULSE_TEST["runs"][0]["table"]}
    assert places_refused(changed(PULSE_TEST, ["runs", 0, "table"], empty)) == ["runs[0].table"]
    assert places_refused(changed(PULSE_TEST, ["runs", 0, "table"], {}))


def test_every_part_that_breaks_a_rule_is_named_in_one_answer():
    document = changed(PULSE_TEST, ["battery", "rated_capacity_ah"], -1.0)
    document = changed(document, ["inspection", "alarm_level"], 9)
    document = changed(document, ["runs", 0, "table", "step_type", 1], "warming")
    assert places_refused(document) == [
        "battery.rated_capacity_ah",
        "inspection.alarm_level",
        "runs[0].table.step_type[1]",
    ]


def test_seventeen_runs_are_refused_and_sixteen_are_taken():
    run = PULSE_TEST["runs"][0]
    assert len(history({**PULSE_TEST, "runs": [run] * 16}).runs) == 16
    assert places_refused({**PULSE_TEST, "runs": [run] * 17}) == ["runs"]


def test_more_than_six_hundred_columns_are_refused():
    table = {f"c{index}": [1.0] for index in range(601)}
    assert places_refused(changed(PULSE_TEST, ["runs", 0, "table"], table)) == ["runs.0.table"]


def test_a_declared_begin_is_kept_with_its_zone():
    told = history(changed(PULSE_TEST, ["runs", 0, "started_at"], "2026-11-22T15:00:00.5+08:00"))
    assert told.runs[0].started_at == datetime(2026, 11, 22, 7, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-11-22T08:00:00", "2026-11-22", "1700000000", "2026-13-22T08:00:00Z", "now"])
def test_a_begin_without_zone_or_not_rfc_3339_is_refused(text):
    assert places_refused(changed(PULSE_TEST, ["runs", 0, "started_at"], text)) == ["runs.0.started_at"]


def test_a_run_that_has_not_begun_is_refused():
    future = changed(PULSE_TEST, ["runs", 0, "started_at"], "2026-11-22T08:30:01Z")
    assert places_refused(future) == ["runs[0].started_at"]


@pytest.mark.parametrize("text", ["2021-12-04T00:00:00", "1638576000", "2021-02-30", "04.12.2021"])
def test_a_manufacturing_day_is_an_iso_date_and_nothing_else(text):
    assert places_refused(changed(PULSE_TEST, ["battery", "manufactured_on"], text)) == ["battery.manufactured_on"]


@pytest.mark.parametrize("field", ["battery_id", "type_designation"])
def test_control_characters_are_refused_in_names(field):
    document = changed(PULSE_TEST, ["battery", field], "LF\x00280")
    assert places_refused(changed(document, ["battery", "scheme"], "local")) == [f"battery.{field}"]


def test_provenance_is_the_bench_for_tests_and_the_bms_for_telemetry_unless_it_is_declared():
    assert history(PULSE_TEST).runs[0].source.provenance is Provenance.BENCH_MEASURED
    assert history(TELEMETRY).runs[0].source.provenance is Provenance.BMS_REPORTED
    declared = changed(TELEMETRY, ["runs", 0, "provenance"], "operator_entered")
    assert history(declared).runs[0].source.provenance is Provenance.OPERATOR_ENTERED


def test_the_source_digest_is_of_the_table_alone():
    first, later = history(PULSE_TEST), history(changed(PULSE_TEST, ["runs", 0, "started_at"], "2026-11-21T08:00:00Z"))
    other = history(changed(PULSE_TEST, ["runs", 0, "table", "voltage_end_volt", 2], 3.2987))
    assert first.runs[0].source.sha256 == later.runs[0].source.sha256
    assert first.runs[0].source.sha256 != other.runs[0].source.sha256


def test_a_battery_file_is_a_request_without_runs():
    written = {key: PULSE_TEST[key] for key in ("battery", "inspection")}
    read_back = BatteryFile.model_validate_json(json.dumps(written))
    assert read_back.battery.identity() == history(PULSE_TEST).identity
    with pytest.raises(ValidationError):
        BatteryFile.model_validate_json(json.dumps(PULSE_TEST))


def test_a_code_is_read_and_an_invalid_one_names_its_problems():
    assert code_reply("04qcb76836300\njbc40000903") == CODE_READ
    slip = code_reply("04QXB76836300JBC40000903")
    assert (slip["valid"], slip["problems"][0]["where"]) == (False, "position 4")
    assert CodeReply.model_validate(code_reply("\x00")).valid is False


def test_a_large_value_is_described_and_not_repeated():
    assert value_at({"battery_id": ["x"] * 1000}, ("battery_id",)) == "an array of 1000"
