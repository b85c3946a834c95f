"""Frame logs as vehicles write them, both editions, whole and damaged."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import InvalidInput, PackGradeError, UnreadableFile
from features.findings import Severity
from features.readers import gbt32960_log, gbt32960_source
from features.readers.bms_telemetry import load_vehicle_mapping, read_bms_telemetry
from features.readers.by_format import read_run
from features.readers.gbt32960 import decode_frames, read_gbt32960
from features.readers.gbt32960_layout import layout_of
from features.readers.gbt32960_tables import EDITION_2016, EDITION_2025
from features.vocabulary import Provenance, RunKind
from tests.support.gbt32960_encoder import (
    VIN,
    Pack,
    Report,
    alarm_block,
    blocks,
    cell_block,
    clock,
    frame,
    hex_lines,
    login_frame,
    logout_frame,
    probe_block,
    report_frame,
    vehicle_block,
)

MAPPINGS = Path(__file__).parents[3] / "features" / "readers" / "mappings"
BEGIN = datetime(2025, 11, 1, tzinfo=UTC)
CODE, OTHER_CODE = "04QPB76836300JBC40000903", "04QPB76836300JBC40000904"
EDITIONS = pytest.mark.parametrize("edition", [2016, 2025])
FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def report(number=0, *, ampere=0.0, cells=(3.301, 3.299, 3.3, 3.302), **values):
    """A report every 10 s of a pack of four cells."""
    volt = round(sum(cell for cell in cells if cell is not None), 1)
    packs = values.pop("packs", [Pack(cells=cells, probes=[24.0, 26.0], volt=volt, ampere=ampere)])
    values.setdefault("volt", volt)
    return Report(BEGIN + timedelta(seconds=10 * number), ampere=ampere, packs=packs, **values)


def drive_and_charge(edition, sign=1.0):
    """Two hours: charging from 20 %, then driving; `sign` -1 reports charging as positive."""
    frames, soc = [], 20.0
    for number in range(720):
        ampere = -40.0 if number < 360 else 40.0
        soc -= ampere * 10.0 / 3600.0
        frames.append(report_frame(report(number, ampere=sign * ampere, soc_percent=int(soc)), edition))
    return frames


def finding(reading, code):
    return next(each for each in reading.findings if each.code == code)


def codes(reading):
    return {each.code for each in reading.findings}


@pytest.fixture
def log(tmp_path):
    def _log(content, name="log.bin"):
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_bytes(content if isinstance(content, bytes) else b"".join(content))
        return path

    return _log


@EDITIONS
def test_every_number_of_a_report_arrives_in_canonical_units(log, edition):
    sent = report(
        ampere=-12.5, soc_percent=63, odometer_km=81_234.5, insulation_kohm=1850, charge_state=1, alarm_level=2
    )
    table = read_gbt32960(log([report_frame(sent, edition)])).table
    row = {name: table.floats(name)[0] for name in table.columns}
    assert row["unix_time_second"] == BEGIN.timestamp()
    assert row["pack_voltage_volt"] == 13.2
    assert row["pack_current_ampere"] == 12.5
    assert row["reported_soc_percent"] == 63.0
    assert row["odometer_kilometer"] == 81_234.5
    assert row["insulation_resistance_kiloohm"] == 1850.0
    assert row["charge_state"] == 1.0
    assert row["alarm_level"] == 2.0
    assert [row[f"cell_voltage_{n}_volt"] for n in (1, 2, 3, 4)] == [3.301, 3.299, 3.3, 3.302]
    assert [row[f"probe_temperature_{n}_celsius"] for n in (1, 2)] == [24.0, 26.0]


def test_only_the_2016_edition_has_extremes(log):
    old = read_gbt32960(log([report_frame(report(), 2016)])).table
    assert old.floats("cell_voltage_max_volt")[0] == 3.302
    assert old.floats("cell_voltage_min_volt")[0] == 3.299
    assert old.floats("probe_temperature_max_celsius")[0] == 26.0
    assert old.floats("probe_temperature_min_celsius")[0] == 24.0
    new = read_gbt32960(log([report_frame(report(), 2025)])).table
    assert "cell_voltage_max_volt" not in new


volts = st.none() | st.integers(0, 6000).map(lambda raw: raw / 1000)
celsius = st.none() | st.integers(-40, 150).map(float)
packs = st.builds(
    Pack, cells=st.lists(volts, min_size=1, max_size=200), probes=st.lists(celsius, min_size=1, max_size=40)
)
reports = st.builds(
    Report,
    moment=st.integers(1_262_400_000, 4_070_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
    volt=st.integers(0, 10_000).map(lambda raw: raw / 10),
    ampere=st.integers(-9_990, 9_990).map(lambda raw: raw / 10),
    soc_percent=st.integers(0, 100),
    odometer_km=st.none() | st.integers(0, 9_999_999).map(lambda raw: raw / 10),
    insulation_kohm=st.none() | st.integers(0, 60_000),
    charge_state=st.none() | st.integers(1, 4),
    alarm_level=st.none() | st.integers(0, 3),
    packs=st.tuples(packs),
)


def missing(value):
    return np.nan if value is None else value


@EDITIONS
@FEW
@given(sent=reports)
def test_what_the_encoder_writes_the_reader_reads(tmp_path, edition, sent):
    path = tmp_path / "log.bin"
    path.write_bytes(report_frame(sent, edition))
    table = read_gbt32960(path).table
    expected = {
        "unix_time_second": sent.moment.timestamp(),
        "pack_voltage_volt": sent.volt,
        "pack_current_ampere": 0.0 - sent.ampere,
        "reported_soc_percent": sent.soc_percent,
        "odometer_kilometer": missing(sent.odometer_km),
        "insulation_resistance_kiloohm": missing(sent.insulation_kohm),
        "charge_state": missing(sent.charge_state),
        "alarm_level": missing(sent.alarm_level),
    }
    for name, value in expected.items():
        np.testing.assert_equal(table.floats(name)[0], float(value))
    np.testing.assert_equal(table.numbered("cell_voltage_{n}_volt")[0], [missing(v) for v in sent.packs[0].cells])
    np.testing.assert_equal(
        table.numbered("probe_temperature_{n}_celsius")[0], [missing(v) for v in sent.packs[0].probes]
    )


@EDITIONS
def test_hexadecimal_lines_give_the_same_table_as_the_bytes(log, edition):
    frames = [report_frame(report(number), edition) for number in range(50)]
    binary = read_gbt32960(log(frames)).table
    plain = "\n".join(each.hex() for each in frames)
    for text in (hex_lines(frames), plain, plain.replace("\n", "\r\n").upper(), "\ufeff" + plain):
        assert read_gbt32960(log(text)).table.sha256 == binary.sha256


def test_a_time_that_looks_like_a_start_does_not_hide_the_frame(log):
    line = "20251023 232323 " + report_frame(report(), 2016).hex(" ")
    quoted = f'"2025-10-23 23:23:23";"{report_frame(report(1), 2016).hex()}"'
    assert read_gbt32960(log(f"{line}\n{quoted}\n")).table.row_count == 2


def test_lines_without_a_frame_are_counted(log):
    text = "time;frame\n" + hex_lines([report_frame(report(), 2025)]) + "connection lost\n\n"
    reading = read_gbt32960(log(text))
    assert finding(reading, "gbt32960.lines_without_frame").evidence == {"line_count": 2}


@EDITIONS
def test_a_value_that_means_invalid_is_missing_and_counted(log, edition):
    silent = report(1, volt=None, ampere=None, soc_percent=None, insulation_kohm=None, cells=(None, 3.3, 3.3, 3.3))
    reading = read_gbt32960(log([report_frame(report(), edition), report_frame(silent, edition)]))
    for name in ("pack_voltage_volt", "pack_current_ampere", "reported_soc_percent", "insulation_resistance_kiloohm"):
        assert np.isnan(reading.table.floats(name)[1])
        assert finding(reading, "gbt32960.invalid_values").evidence[f"{name}_count"] == 1
    assert np.isnan(reading.table.floats("cell_voltage_1_volt")[1])
    assert finding(reading, "gbt32960.invalid_values").evidence["cell_voltage_count"] == 1


@EDITIONS
def test_abnormal_is_as_invalid_as_invalid(log, edition):
    body = bytearray(clock(BEGIN) + vehicle_block(report(), edition))
    body[7 + 9 : 7 + 11], body[7 + 13] = b"\xff\xfe", 0xFE
    abnormal = frame(bytes(body), edition)
    table = read_gbt32960(log([abnormal, report_frame(report(1), edition)])).table
    assert np.isnan(table.floats("pack_voltage_volt")[0])
    assert np.isnan(table.floats("reported_soc_percent")[0])


@EDITIONS
def test_a_value_no_battery_can_have_is_missing_and_a_caution(log, edition):
    impossible = report(1, soc_percent=140, cells=(7.5, 3.3, 3.3, 3.3), volt=13.2)
    reading = read_gbt32960(log([report_frame(report(), edition), report_frame(impossible, edition)]))
    outside = finding(reading, "gbt32960.values_out_of_range")
    assert outside.severity is Severity.CAUTION
    assert outside.evidence["reported_soc_percent_count"] == 1
    assert outside.evidence["cell_voltage_count"] == 1
    assert np.isnan(reading.table.floats("reported_soc_percent")[1])
    assert np.isnan(reading.table.floats("cell_voltage_1_volt")[1])


def test_the_clock_of_a_frame_is_china_standard_time(log):
    body = bytes([25, 11, 1, 0, 30, 0]) + vehicle_block(report(), 2016)
    assert read_gbt32960(log([frame(body, 2016)])).started_at == datetime(2025, 10, 31, 16, 30, tzinfo=UTC)


@pytest.mark.parametrize("written", [(25, 2, 30, 8, 0, 0), (25, 13, 1, 8, 0, 0), (0, 1, 1, 0, 0, 0), (255,) * 6])
def test_a_frame_without_a_moment_is_left_out_and_counted(log, written):
    stray = frame(bytes(written) + vehicle_block(report(), 2016), 2016)
    reading = read_gbt32960(log([stray, report_frame(report(), 2016)]))
    assert reading.table.row_count == 1
    assert finding(reading, "gbt32960.frames_without_time").evidence == {"count": 1}


@EDITIONS
def test_a_wrong_check_byte_costs_only_its_own_frame(log, edition):
    frames = [bytearray(report_frame(report(number), edition)) for number in range(5)]
    frames[2][40] ^= 0x10
    reading = read_gbt32960(log(b"".join(frames)))
    assert reading.table.floats("unix_time_second").tolist() == [BEGIN.timestamp() + 10 * n for n in (0, 1, 3, 4)]
    assert finding(reading, "gbt32960.frames_damaged").evidence == {"checksum_failed_count": 1}
    assert finding(reading, "gbt32960.bytes_dropped").evidence == {"byte_count": len(frames[2])}


@EDITIONS
@pytest.mark.parametrize("kept", [1, 23, 24, 60])
def test_a_frame_that_breaks_off_does_not_swallow_the_next(log, edition, kept):
    frames = [report_frame(report(number), edition) for number in range(3)]
    reading = read_gbt32960(log([frames[0], frames[1][:kept], frames[2]]))
    assert reading.table.row_count == 2
    assert finding(reading, "gbt32960.bytes_dropped").evidence == {"byte_count": kept}


@EDITIONS
def test_a_check_byte_that_fits_by_chance_hides_no_frame(log, edition):
    frames = [bytearray(report_frame(report(number), edition)) for number in range(4)]
    broken = frames[1][:60]
    extent = (broken + frames[2])[2 : len(frames[1])]
    broken[45] ^= int(np.bitwise_xor.reduce(np.frombuffer(bytes(extent), dtype=np.uint8)))
    reading = read_gbt32960(log(b"".join([frames[0], broken, frames[2], frames[3]])))
    assert reading.table.floats("unix_time_second").tolist() == [BEGIN.timestamp() + 10 * n for n in (0, 2, 3)]
    assert finding(reading, "gbt32960.bytes_dropped").evidence == {"byte_count": 60}


@EDITIONS
def test_the_end_of_a_file_may_break_a_frame(log, edition):
    frames = [report_frame(report(number), edition) for number in range(2)]
    reading = read_gbt32960(log([frames[0], frames[1][:-1]]))
    assert reading.table.row_count == 1
    assert finding(reading, "gbt32960.frames_damaged").evidence == {"truncated_count": 1}
    in_text = read_gbt32960(log(frames[0].hex() + "\n" + frames[1].hex()[:-3] + "\n"))
    assert finding(in_text, "gbt32960.frames_damaged").evidence == {"truncated_count": 1}


def test_garbage_between_frames_is_dropped_and_counted(log):
    noise = b"\x00$$##\x02\x07OK\r\n" * 3
    frames = [report_frame(report(number), 2016) for number in range(3)]
    reading = read_gbt32960(log([noise, frames[0], noise, frames[1], frames[2], noise]))
    assert reading.table.row_count == 3
    assert finding(reading, "gbt32960.bytes_dropped").evidence == {"byte_count": 3 * len(noise)}


def test_start_bytes_inside_a_frame_start_nothing(log):
    cold = [Pack(cells=[3.3] * 4, probes=[-5.0] * 8, volt=13.2)]
    frames = [report_frame(report(number, packs=cold, volt=13.2), 2016) for number in range(3)]
    assert frames[0].count(b"##") > 1
    reading = read_gbt32960(log(frames))
    assert reading.table.row_count == 3
    assert "gbt32960.bytes_dropped" not in codes(reading)


def test_frames_on_one_line_are_all_read(log):
    frames = [report_frame(report(number), 2025) for number in range(4)]
    assert read_gbt32960(log(b"".join(frames).hex() + "\n")).table.row_count == 4


def test_a_frame_over_the_border_of_two_blocks_is_whole(log, monkeypatch):
    monkeypatch.setattr(gbt32960_source, "_BLOCK_BYTES", 37)
    frames = [report_frame(report(number), 2016) for number in range(9)]
    reading = read_gbt32960(log([frames[0], b"noise", *frames[1:]]))
    assert reading.table.row_count == 9
    assert finding(reading, "gbt32960.bytes_dropped").evidence == {"byte_count": 5}


@EDITIONS
def test_encrypted_frames_are_counted_and_not_read(log, edition):
    secret = frame(bytes(64), edition, encryption=0x03)
    reading = read_gbt32960(log([report_frame(report(), edition), secret, secret]))
    assert reading.table.row_count == 1
    encrypted = finding(reading, "gbt32960.encrypted")
    assert (encrypted.severity, encrypted.evidence) == (Severity.CAUTION, {"count": 2})


def test_other_commands_and_answers_are_counted_and_not_read(log):
    answer = frame(clock(BEGIN), 2016, answer=0x01)
    heartbeat = frame(b"", 2016, command=0x07)
    reading = read_gbt32960(log([report_frame(report(), 2016), answer, heartbeat, logout_frame(BEGIN, 2016)]))
    seen = finding(reading, "gbt32960.frames").evidence
    assert seen == {"realtime_2016_count": 2, "logout_2016_count": 1, "other_2016_count": 1}
    assert finding(reading, "gbt32960.replies").evidence == {"count": 1}


def test_blocks_that_run_past_their_frame_make_it_malformed(log):
    cut = frame(clock(BEGIN) + vehicle_block(report(), 2016)[:-3], 2016)
    greedy = frame(clock(BEGIN) + b"\x02\x09" + bytes(12), 2016)
    reading = read_gbt32960(log([cut, greedy, report_frame(report(), 2016)]))
    assert reading.table.row_count == 1
    assert finding(reading, "gbt32960.frames_damaged").evidence == {"malformed_count": 2}


@pytest.mark.parametrize(("count", "rows"), [(200, 1), (201, 0)])
def test_a_2016_cell_list_holds_at_most_200(log, count, rows):
    long = report(packs=[Pack(cells=[3.3] * count, probes=[25.0], volt=13.2)])
    path = log([report_frame(replace(long, volt=13.2), 2016), report_frame(report(1), 2016)])
    assert sum(len(each.unix_second) for each in decode_frames(path).vehicles[0].samples) == rows + 1


def test_a_2025_cell_list_may_be_longer(log):
    cells = [(3000 + n) / 1000 for n in range(300)]
    table = read_gbt32960(log([report_frame(report(cells=cells), 2025)])).table
    assert table.numbered("cell_voltage_{n}_volt")[0].tolist() == cells


def test_a_block_of_unknown_length_ends_the_reading_of_its_frame_loudly(log):
    body = clock(BEGIN) + vehicle_block(report(), 2016) + b"\x0a\x01\x02\x03"
    reading = read_gbt32960(log([frame(body, 2016)]))
    assert reading.table.floats("pack_voltage_volt")[0] == 13.2
    unknown = finding(reading, "gbt32960.unknown_blocks")
    assert (unknown.severity, unknown.evidence) == (Severity.CAUTION, {"block_0x0a_count": 1})


@pytest.mark.parametrize(
    ("edition", "passed"),
    [
        (2016, b"\x02\x02" + bytes(24)),
        (2016, b"\x03" + bytes(6) + b"\x00\x03" + bytes(3) + bytes(10)),
        (2016, b"\x04" + bytes(5)),
        (2016, b"\x05" + bytes(9)),
        (2016, b"\x80\x00\x05hello"),
        (2025, b"\x02\x02" + bytes(20)),
        (2025, b"\x03" + bytes(12)),
        (2025, b"\x04" + bytes(2)),
        (2025, b"\x05" + bytes(10)),
        (2025, b"\x30\x01" + bytes(10) + b"\x00\x02" + bytes(2)),
        (2025, b"\x31" + bytes(5) + b"\x00\x02" + bytes(4) + b"\x00\x01" + bytes(1)),
        (2025, b"\x32" + bytes(18)),
        (2025, b"\x80\x00\x05hello"),
    ],
)
def test_blocks_without_the_battery_are_passed_over(edition, passed):
    tables = EDITION_2016 if edition == 2016 else EDITION_2025
    body = clock(BEGIN) + passed + vehicle_block(report(), edition)
    layout = layout_of(body, tables)
    assert layout is not None
    assert layout.blocks[0x01] == 6 + len(passed) + 1
    assert layout.unread_block is None


def test_a_signature_ends_a_2025_frame_and_is_not_verified(log):
    body = clock(BEGIN) + b"".join(blocks(report(), 2025)) + b"\xff\x01\x00\x02ab\x00\x02cd"
    reading = read_gbt32960(log([frame(body, 2025)]))
    assert reading.table.row_count == 1
    assert finding(reading, "gbt32960.signature_not_verified").evidence == {"count": 1}


@pytest.mark.parametrize("later", [0, 1])
def test_a_cell_list_in_several_frames_is_put_together(log, later):
    first = Pack(cells=[3.2] * 200, probes=[25.0], volt=860.0, total=260)
    second = Pack(cells=[3.3] * 60, volt=860.0, first_cell=201, total=260)
    whole = report(volt=860.0, packs=[first])
    rest = frame(clock(BEGIN + timedelta(seconds=later)) + cell_block([second], 2016), 2016)
    reading = read_gbt32960(log([report_frame(whole, 2016), rest]))
    assert reading.table.row_count == 1
    assert reading.table.numbered("cell_voltage_{n}_volt")[0].tolist() == [3.2] * 200 + [3.3] * 60
    assert ("gbt32960.parts_joined" in codes(reading)) == bool(later)


def test_a_part_that_comes_much_later_stays_a_row_of_its_own(log):
    rest = frame(clock(BEGIN + timedelta(seconds=5)) + cell_block([Pack(cells=[3.3] * 4)], 2016), 2016)
    assert read_gbt32960(log([report_frame(report(), 2016), rest])).table.row_count == 2


def test_cells_counted_from_zero_find_their_place(log):
    zero_based = Pack(cells=[3.1, 3.2, 3.3, 3.4], probes=[25.0], volt=13.0, first_cell=0)
    table = read_gbt32960(log([report_frame(report(volt=13.0, packs=[zero_based]), 2016)])).table
    assert table.numbered("cell_voltage_{n}_volt")[0].tolist() == [3.1, 3.2, 3.3, 3.4]


def test_a_cell_list_beyond_its_total_is_left_out_and_counted(log):
    beyond = Pack(cells=[3.3] * 4, probes=[25.0], volt=13.2, first_cell=3, total=4)
    frames = [report_frame(report(), 2016), report_frame(report(1, packs=[beyond]), 2016)]
    reading = read_gbt32960(log(frames))
    assert np.isnan(reading.table.numbered("cell_voltage_{n}_volt")[1]).all()
    assert finding(reading, "gbt32960.cell_lists_without_place").evidence == {"count": 1}


@EDITIONS
def test_cells_of_several_packs_are_numbered_through(log, edition):
    packs = [
        Pack(number=1, cells=[3.1, 3.2], probes=[20.0], volt=6.3, ampere=10.0),
        Pack(number=2, cells=[3.3, 3.4], probes=[30.0], volt=6.7, ampere=10.0),
    ]
    reading = read_gbt32960(log([report_frame(report(ampere=10.0, volt=13.0, packs=packs), edition)]))
    assert reading.table.numbered("cell_voltage_{n}_volt")[0].tolist() == [3.1, 3.2, 3.3, 3.4]
    assert reading.table.numbered("probe_temperature_{n}_celsius")[0].tolist() == [20.0, 30.0]
    assert "gbt32960.contradiction" not in codes(reading)


@EDITIONS
def test_packs_in_parallel_share_the_current_of_the_vehicle(log, edition):
    packs = [Pack(number=n, cells=[3.3] * 4, volt=13.2, ampere=30.0) for n in (1, 2)]
    sent = [report_frame(report(number, ampere=60.0, packs=packs, volt=13.2), edition) for number in range(3)]
    assert {"gbt32960.currents_disagree", "gbt32960.contradiction"}.isdisjoint(codes(read_gbt32960(log(sent))))


@EDITIONS
def test_a_battery_named_at_login_gets_its_own_pack(log, edition):
    packs = [
        Pack(number=1, cells=[3.1, 3.2], probes=[20.0], volt=6.3, ampere=11.0),
        Pack(number=2, cells=[3.3, 3.4], probes=[30.0], volt=6.7, ampere=-9.0),
    ]
    sent = [login_frame(BEGIN, [CODE, OTHER_CODE], edition), report_frame(report(ampere=2.0, packs=packs), edition)]
    reading = read_gbt32960(log(sent), OTHER_CODE.lower())
    assert reading.table.floats("pack_voltage_volt")[0] == 6.7
    assert reading.table.floats("pack_current_ampere")[0] == 9.0
    assert reading.table.numbered("cell_voltage_{n}_volt")[0].tolist() == [3.3, 3.4]
    assert "cell_voltage_max_volt" not in reading.table
    assert finding(reading, "gbt32960.pack_selected").evidence["subsystem"] == 2


@EDITIONS
def test_login_names_the_batteries_in_order(log, edition):
    path = log([login_frame(BEGIN, [CODE, OTHER_CODE], edition), report_frame(report(), edition)])
    assert decode_frames(path).vehicles[0].pack_codes == (CODE, OTHER_CODE)
    assert finding(read_gbt32960(path), "gbt32960.pack_codes").evidence == {"code_1": CODE, "code_2": OTHER_CODE}


def test_a_battery_the_vehicle_does_not_name_is_a_caution(log):
    path = log([login_frame(BEGIN, [CODE], 2025), report_frame(report(), 2025)])
    assert finding(read_gbt32960(path, OTHER_CODE), "gbt32960.battery_not_named").severity is Severity.CAUTION
    assert "gbt32960.battery_not_named" not in codes(read_gbt32960(path, CODE))
    assert "gbt32960.battery_not_named" not in codes(read_gbt32960(path, "car 7"))


def test_a_battery_exchanged_between_two_logins_is_a_caution(log):
    same = [login_frame(BEGIN, [CODE], 2025), login_frame(BEGIN, [CODE], 2025), report_frame(report(), 2025)]
    changed = [*same, login_frame(BEGIN, [OTHER_CODE], 2025)]
    assert finding(read_gbt32960(log(same)), "gbt32960.pack_codes").severity is Severity.NOTE
    assert finding(read_gbt32960(log(changed)), "gbt32960.pack_codes").severity is Severity.CAUTION


def test_the_number_of_the_vehicle_and_of_its_card_leave_in_no_form(log):
    sent = [login_frame(BEGIN, [VIN, CODE], 2016), report_frame(report(), 2016)]
    reading = read_gbt32960(log(sent))
    assert VIN not in repr(reading.findings)
    assert "8986" not in repr(reading.findings)
    assert decode_frames(log(sent)).vehicles[0].pack_codes == (CODE,)
    assert VIN not in repr(decode_frames(log(sent)))


def test_several_vehicles_are_never_mixed(log):
    other = "LTEST0000VEHICLE2"
    sent = [
        login_frame(BEGIN, [CODE], 2025),
        login_frame(BEGIN, [OTHER_CODE], 2025, vin=other),
        report_frame(report(soc_percent=30), 2025),
        report_frame(report(soc_percent=70, alarm_bits=[11]), 2025, vin=other),
    ]
    with pytest.raises(InvalidInput, match="several vehicles") as refused:
        read_gbt32960(log(sent))
    assert other not in str(refused.value)
    assert read_gbt32960(log(sent), OTHER_CODE).table.floats("reported_soc_percent").tolist() == [70.0]
    assert "gbt32960.battery_alarms" in codes(read_gbt32960(log(sent), OTHER_CODE))
    assert "gbt32960.battery_alarms" not in codes(read_gbt32960(log(sent), CODE))


@EDITIONS
def test_a_reissued_report_fills_gaps_and_overrides_nothing(log, edition):
    live = report_frame(report(0, soc_percent=None, insulation_kohm=1500), edition)
    again = report_frame(report(0, soc_percent=44, insulation_kohm=900), edition, command=0x03)
    late = report_frame(report(1, soc_percent=45), edition, command=0x03)
    reading = read_gbt32960(log([late, again, live]))
    assert reading.table.floats("reported_soc_percent").tolist() == [44.0, 45.0]
    assert reading.table.floats("insulation_resistance_kiloohm").tolist() == [1500.0, 2000.0]
    assert finding(reading, "gbt32960.repeated_reports").evidence == {"count": 1}
    assert finding(reading, "gbt32960.reports_differ").evidence == {"count": 1}


def test_the_same_report_twice_is_one_row_and_no_contradiction(log):
    sent = report_frame(report(), 2016)
    reading = read_gbt32960(log([sent] * 7 + [report_frame(report(1), 2016)]))
    assert reading.table.row_count == 2
    assert finding(reading, "gbt32960.repeated_reports").evidence == {"count": 6}
    assert "gbt32960.reports_differ" not in codes(reading)


def test_reports_out_of_order_are_put_in_order(log):
    numbers = list(range(40))
    random.Random(1).shuffle(numbers)
    table = read_gbt32960(log([report_frame(report(number, insulation_kohm=number), 2025) for number in numbers])).table
    assert table.floats("insulation_resistance_kiloohm").tolist() == list(map(float, range(40)))


def test_a_silence_is_named(log):
    numbers = [*range(20), *range(400, 420)]
    gaps = finding(read_gbt32960(log([report_frame(report(number), 2025) for number in numbers])), "telemetry.gaps")
    assert gaps.evidence["gap_count"] == 1
    assert gaps.evidence["gap_1_second"] == 3810.0


@EDITIONS
def test_positive_current_charges_in_the_table(log, edition):
    reading = read_gbt32960(log(drive_and_charge(edition)))
    current = reading.table.floats("pack_current_ampere")
    assert (current[:360] == 40.0).all()
    assert (current[360:] == -40.0).all()
    assert codes(reading) == {"gbt32960.frames"}


@EDITIONS
def test_a_vehicle_with_the_other_sign_is_found_out_by_its_state_of_charge(log, edition):
    reading = read_gbt32960(log(drive_and_charge(edition, sign=-1.0)))
    assert (reading.table.floats("pack_current_ampere")[:360] == 40.0).all()
    assert finding(reading, "gbt32960.current_sign_turned").severity is Severity.CAUTION


def test_too_little_charge_moved_proves_no_sign(log):
    assert "telemetry.sign_not_proven" in codes(read_gbt32960(log([report_frame(report(n), 2025) for n in range(9)])))


@EDITIONS
def test_a_pack_current_with_the_offset_of_the_other_edition_is_named(log, edition):
    shift = 2000.0 if edition == 2016 else -2000.0
    packs = [Pack(cells=[3.3] * 4, volt=13.2, ampere=25.0 + shift)]
    sent = [report_frame(report(number, ampere=25.0, packs=packs, volt=13.2), edition) for number in range(5)]
    reading = read_gbt32960(log(sent))
    offset = finding(reading, "gbt32960.current_offset")
    assert offset.severity is Severity.CAUTION
    assert offset.evidence["difference_median_ampere"] == -shift
    assert (reading.table.floats("pack_current_ampere") == -25.0).all()


@EDITIONS
def test_a_total_current_with_the_offset_of_the_other_edition_is_refused(log, edition):
    shift = 2000.0 if edition == 2016 else -2000.0
    sent = [report_frame(report(number, ampere=25.0 + shift), edition) for number in range(5)]
    with pytest.raises(InvalidInput, match="offset of the other edition") as refused:
        read_gbt32960(log(sent))
    assert refused.value.code == "FRAMES_CONTRADICT_EDITION"


def test_currents_that_merely_disagree_are_named_and_near_ones_are_not(log):
    def sent(pack_ampere):
        packs = [Pack(cells=[3.3] * 4, volt=13.2, ampere=pack_ampere)]
        return [report_frame(report(number, ampere=50.0, packs=packs, volt=13.2), 2016) for number in range(5)]

    assert "gbt32960.currents_disagree" in codes(read_gbt32960(log(sent(80.0))))
    assert "gbt32960.currents_disagree" not in codes(read_gbt32960(log(sent(52.0))))


def test_a_thermal_event_bit_counts_as_level_four(log):
    hot = frame(
        clock(BEGIN) + vehicle_block(report(), 2025) + alarm_block(report(alarm_level=1, alarm_bits=[23]), 2025), 2025
    )
    reading = read_gbt32960(log([hot]))
    assert reading.table.floats("alarm_level")[0] == 4.0
    assert finding(reading, "gbt32960.battery_alarms").evidence == {"thermal event": 1}
    old = report(alarm_level=1, alarm_bits=[23, 11])
    reading = read_gbt32960(log([report_frame(old, 2016)]))
    assert reading.table.floats("alarm_level")[0] == 1.0
    assert finding(reading, "gbt32960.battery_alarms").evidence == {"insulation": 1}


@pytest.mark.parametrize(
    ("edition", "level", "read"), [(2016, 3, 3.0), (2016, 4, np.nan), (2025, 4, 4.0), (2025, 5, np.nan)]
)
def test_alarm_levels_end_where_their_edition_ends(log, edition, level, read):
    table = read_gbt32960(log([report_frame(report(alarm_level=level), edition)])).table
    np.testing.assert_equal(table.floats("alarm_level")[0], read)


def test_both_editions_in_one_log_are_read_each_in_its_own_way(log):
    sent = [report_frame(report(0, ampere=20.0), 2016), report_frame(report(1, ampere=20.0), 2025)]
    assert read_gbt32960(log(sent)).table.floats("pack_current_ampere").tolist() == [-20.0, -20.0]


def test_frames_of_one_length_with_different_blocks_are_told_apart(log):
    two = [Pack(cells=[3.3, 3.4], probes=[20.0, 21.0], volt=13.2)]
    one = [Pack(cells=[3.3], probes=[20.0, 21.0, 22.0, 23.0], volt=13.2)]
    sent = [report_frame(report(number, packs=(two, one)[number % 2], volt=13.2), 2016) for number in range(6)]
    assert len({len(each) for each in sent}) == 1
    cells = read_gbt32960(log(sent)).table.numbered("cell_voltage_{n}_volt")
    assert cells[:, 0].tolist() == [3.3] * 6


def test_a_log_is_read_through_the_one_door(log):
    path = log([login_frame(BEGIN, [CODE], 2025), *drive_and_charge(2025)])
    run = read_run(
        kind=RunKind.FIELD_TELEMETRY,
        run_format="gbt32960",
        path=path,
        available_at=BEGIN + timedelta(days=1),
        battery_id=CODE,
    )
    assert run.source.provenance is Provenance.BMS_REPORTED
    assert run.source.reader == "gbt32960"
    assert run.started_at == BEGIN


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "empty"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"PK\x03\x04", "compressed"),
        (b"no frame at all\n", "at least one GB/T 32960.3 report"),
        (bytes(range(256)) * 40, "at least one GB/T 32960.3 report"),
        (frame(bytes(80), 2016, encryption=0x02), "1 encrypted"),
        (frame(clock(BEGIN) + cell_block([Pack(cells=[3.3])], 2016), 2016), "voltage, current and state of charge"),
    ],
)
def test_a_file_without_a_report_is_refused_with_the_reason(log, content, rule):
    with pytest.raises(UnreadableFile, match=rule):
        read_gbt32960(log(content))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot be opened"):
        read_gbt32960(tmp_path / "absent.bin")


def test_caps_on_bytes_reports_kinds_and_lines_hold(log, monkeypatch):
    frames = [report_frame(report(number), 2016) for number in range(10)]
    with monkeypatch.context() as changed:
        changed.setattr(gbt32960_source, "LARGEST_BYTE_COUNT", 100)
        with pytest.raises(UnreadableFile, match="at most 100 bytes"):
            read_gbt32960(log(frames))
    with monkeypatch.context() as changed:
        changed.setattr(gbt32960_log, "LARGEST_ROW_COUNT", 9)
        with pytest.raises(UnreadableFile, match="at most 9 reports"):
            read_gbt32960(log(frames))
    with monkeypatch.context() as changed:
        changed.setattr(gbt32960_log, "LARGEST_LAYOUT_COUNT", 0)
        with pytest.raises(UnreadableFile, match="kinds of report"):
            read_gbt32960(log(frames))
    with monkeypatch.context() as changed:
        changed.setattr(gbt32960_source, "LONGEST_LINE_BYTES", 50)
        with pytest.raises(UnreadableFile, match="longer than 50 bytes"):
            read_gbt32960(log(hex_lines(frames)))
    assert read_gbt32960(log(frames)).table.row_count == 10


def test_damaged_frames_inside_damaged_frames_end_the_search(log):
    nested = (b"##\x02\xfe" * 6)[:21] + b"\x01\xff\xf0"
    with pytest.raises(UnreadableFile, match="damaged frames"):
        read_gbt32960(log(nested * 20_000))


def test_more_cells_than_a_table_can_number_are_refused(log):
    packs = [Pack(number=n, cells=[3.3] * 600, volt=350.0) for n in (1, 2)]
    with pytest.raises(UnreadableFile, match="at most 999"):
        read_gbt32960(log([report_frame(report(packs=packs, volt=350.0), 2025)]))


def quietly_read(path: Path) -> None:
    """Read, and let nothing but our own errors through."""
    try:
        read_gbt32960(path)
    except PackGradeError:
        return


@FEW
@given(content=st.binary(max_size=2000))
def test_random_bytes_raise_nothing_but_our_errors(tmp_path, content):
    path = tmp_path / "log"
    path.write_bytes(content)
    quietly_read(path)


@EDITIONS
@FEW
@given(body=st.binary(max_size=400), command=st.sampled_from([1, 2, 3]))
def test_random_blocks_in_sound_frames_raise_nothing_but_our_errors(tmp_path, edition, body, command):
    path = tmp_path / "log"
    sound = report_frame(report(), edition)
    path.write_bytes(frame(clock(BEGIN) + body, edition, command) + sound + frame(body, edition, command))
    quietly_read(path)


@EDITIONS
@pytest.mark.parametrize("seed", range(6))
def test_flipped_cut_and_repeated_bytes_raise_nothing_but_our_errors(log, edition, seed):
    chance = random.Random(seed)
    content = bytearray(login_frame(BEGIN, [CODE], edition) + b"".join(drive_and_charge(edition)[:60]))
    for _ in range(40):
        place = chance.randrange(len(content))
        match chance.randrange(3):
            case 0:
                content[place] ^= 1 << chance.randrange(8)
            case 1:
                del content[place : place + chance.randrange(1, 80)]
            case _:
                content[place:place] = content[place : place + chance.randrange(1, 80)]
        quietly_read(log(bytes(content)))
        quietly_read(log(content.hex(" ")))


@EDITIONS
@pytest.mark.parametrize("seed", range(3))
def test_changed_bytes_in_sound_frames_raise_nothing_but_our_errors(log, edition, seed):
    chance = random.Random(seed)
    for _ in range(60):
        sent = []
        for number in range(8):
            body = bytearray(clock(BEGIN + timedelta(seconds=number)) + b"".join(blocks(report(), edition)))
            for _ in range(chance.randrange(4)):
                body[chance.randrange(len(body))] = chance.choice([0, 1, 2, 0xFE, 0xFF, chance.randrange(256)])
            sent.append(frame(bytes(body), edition, chance.choice([2, 3])))
        quietly_read(log(sent))


@EDITIONS
def test_probes_alone_are_read_as_their_own_block(log, edition):
    body = clock(BEGIN) + vehicle_block(report(), edition) + probe_block([Pack(probes=[-40.0, 0.0, None])], edition)
    table = read_gbt32960(log([frame(body, edition)])).table
    np.testing.assert_equal(table.numbered("probe_temperature_{n}_celsius")[0], [-40.0, 0.0, np.nan])


@EDITIONS
@pytest.mark.real_data
def test_a_real_vehicle_written_as_frames_reads_back_as_it_was(log, data_dir, edition):
    mapping = load_vehicle_mapping(MAPPINGS / "car3.toml")
    recorded = read_bms_telemetry(data_dir / "field_bms" / "car3.parquet", mapping).table
    rows = np.flatnonzero(np.diff(np.floor(recorded.floats("unix_time_second"))) > 0)[:3000]
    names = ("pack_voltage_volt", "pack_current_ampere", "reported_soc_percent")
    second, cells = recorded.floats("unix_time_second")[rows], recorded.numbered("cell_voltage_{n}_volt")[rows]
    columns = [recorded.floats(name)[rows] for name in names]
    sent = []
    for number in range(len(rows)):
        volt, ampere, soc = (None if np.isnan(column[number]) else float(column[number]) for column in columns)
        ampere = None if ampere is None else -ampere
        pack = Pack(cells=[None if np.isnan(cell) else float(cell) for cell in cells[number]], volt=volt, ampere=ampere)
        moment = datetime.fromtimestamp(second[number], UTC)
        sent.append(report_frame(Report(moment, volt, ampere, soc, packs=[pack]), edition))
    reading = read_gbt32960(log(sent))
    for name, column in zip(names, columns, strict=True):
        np.testing.assert_allclose(reading.table.floats(name), column, atol=0.05)
    np.testing.assert_allclose(reading.table.numbered("cell_voltage_{n}_volt"), cells, atol=0.0005)
    assert {"gbt32960.contradiction", "gbt32960.current_offset"}.isdisjoint(codes(reading))
