"""The testers whose tables are read by their headings: Arbin, Maccor, Landt, PEC, Novonix, Basytec and more.

Data, not code: which headings mean what, units of the vendor's manual, state words. Headings are
compared by their key (`tester_headings`), so case, spaces, underscores and the bracket's form do not
matter. Chinese headings are those of the Chinese versions of the vendors' programs.
"""

from collections.abc import Mapping

from features.readers.tester_headings import Quantity, Sought
from features.readers.tester_table import TesterFormat


def _volt(*keys: str, unit: str = "v") -> Sought:
    return Sought(Quantity.VOLTAGE, keys, unit)


def _ampere(*keys: str, unit: str = "a") -> Sought:
    return Sought(Quantity.CURRENT, keys, unit)


def _time(*keys: str, unit: str = "") -> Sought:
    return Sought(Quantity.TIME, keys, unit)


def _celsius(*keys: str) -> Sought:
    return Sought(Quantity.TEMPERATURE, keys, "c")


def _count(*keys: str) -> Sought:
    return Sought(Quantity.COUNT, keys, "1")


def _word(*keys: str) -> Sought:
    return Sought(Quantity.WORD, keys)


def _moment(*keys: str) -> Sought:
    return Sought(Quantity.MOMENT, keys)


NEWARE_TABLE = TesterFormat(
    "neware",
    "a Neware table",
    {
        "test_time": _time("totaltime", "cumulativetime", "总时间", "累计时间", "测试时间", unit="s"),
        "step_time": _time("time", "steptime", "relativetime", "时间", "工步时间", "相对时间", unit="s"),
        "moment": _moment("date", "realtime", "absolutetime", "datetime", "绝对时间", "系统时间", "日期"),
        "voltage": _volt("voltage", "vol", "电压", unit=""),
        "current": _ampere("current", "cur", "电流", unit=""),
        "temperature": _celsius("t1", "temperature", "auxt1", "t", "温度", "温度1", "辅助温度"),
        "step": _count("stepcount", "stepindex", "stepnumber", "stepid", "step", "event", "工步号", "工步序号", "工步"),
        "cycle": _count("cycleindex", "cyclecount", "cycleid", "cycle", "循环号", "循环序号", "循环"),
        "state": _word("steptype", "stepname", "status", "工步类型", "工步名称", "工步状态", "状态"),
        "record": _count(
            "datapoint", "recordid", "recordnumber", "recordindex", "数据序号", "记录序号", "记录号", "序号"
        ),
    },
    charge_words=("chg", "charge", "充"),
    discharge_words=("dchg", "disch", "放"),
    marks=(
        *("steptype", "stepname", "recordid", "totaltime", "cumulativetime", "event"),
        *("工步类型", "工步名称", "工步号", "工步序号", "循环号", "循环序号"),
    ),
    foreign=("reasoncode", "步骤号", "步骤时间", "datetimeisostring"),
)

ARBIN = TesterFormat(
    "arbin",
    "an Arbin csv",
    {
        "test_time": _time("testtime", "测试时间", unit="s"),
        "step_time": _time("steptime", "工步时间", unit="s"),
        "moment": _moment("datetime", "日期时间"),
        "voltage": _volt("voltage", "电压"),
        "current": _ampere("current", "电流"),
        "temperature": _celsius("auxtemperature1", "temperature", "temperature1", "auxtemp1", "auxtemperature", "温度"),
        "step": _count("stepindex", "stepid", "工步号"),
        "cycle": _count("cycleindex", "cycleid", "循环号"),
        "record": _count("datapoint", "数据点"),
    },
    marks=("datapoint", "stepindex", "数据点", "工步号"),
    foreign=("reasoncode", "datetimeisostring", "stepname", "steptype", "unixtime", "celltemperature", "runtime"),
    label_pattern=r"(?!.*_(volt|ampere)$).*",
)

MACCOR = TesterFormat(
    "maccor",
    "a Maccor text export",
    {
        "test_time": _time("testtime", "test", "prgtime"),
        "step_time": _time("steptime", "step", unit="s"),
        "moment": _moment("dpttime", "dptdate", "datetime"),
        "voltage": _volt("voltage", "volts"),
        "current": Sought(Quantity.CURRENT, ("current", "amps", "mamps"), "a"),
        "temperature": _celsius("temp1", "evtemp", "temperature", "temp", "temperature1", "thermistor1"),
        "step": _count("step"),
        "cycle": _count("cyc", "cyclec", "cycle", "cyclep"),
        "state": _word("state", "md", "mode"),
        "record": _count("rec"),
    },
    charge_words=("c", "charge"),
    discharge_words=("d", "discharge"),
    marks=("rec",),
)

LANDT = TesterFormat(
    "landt",
    "a Landt csv",
    {
        "test_time": _time("testtime", "测试时间", "总时间", unit=""),
        "step_time": _time("steptime", "步骤时间", "工步时间", unit=""),
        "moment": _moment("datetimeisostring", "systime", "systemtime", "datetime", "系统时间", "绝对时间"),
        "voltage": _volt("voltage", "电压", unit=""),
        "current": _ampere("current", "电流", unit=""),
        "temperature": _celsius("temperature1", "temperature", "温度", "温度1", "auxtemp"),
        "step": _count("stepindex", "step", "stepid", "步骤号", "工步号"),
        "cycle": _count("cycleindex", "cycle", "cycleid", "循环号"),
        "state": _word("stepname", "mode", "status", "工作模式", "步骤名称", "状态"),
        "record": _count("channelindex", "index", "record", "recordid", "记录序号", "序号"),
    },
    charge_words=("chg", "charge", "充", "c_cc", "c_cv"),
    discharge_words=("discharge", "dchg", "dch", "放", "d_cc", "d_cp", "d_cr"),
    marks=("stepname", "datetimeisostring", "systime", "specap", "步骤号", "步骤时间", "步骤名称", "系统时间"),
)

PEC = TesterFormat(
    "pec",
    "a PEC csv",
    {
        "test_time": _time("totaltime"),
        "step_time": _time("steptime"),
        "moment": _moment("realtime"),
        "voltage": _volt("voltage", unit=""),
        "current": _ampere("current", unit=""),
        "temperature": _celsius("cellsurfacetemperature", "celltemperature", "temp", "temperature"),
        "ambient": _celsius("ambienttemperature", "stationtemperature"),
        "step": _count("step"),
        "cycle": _count("cycle"),
        "channel": _word("cell"),
    },
    marks=("reasoncode", "positionstarttime", "loadontime"),
)

NOVONIX = TesterFormat(
    "novonix",
    "a Novonix csv",
    {
        "test_time": _time("runtime"),
        "step_time": _time("steptime"),
        "moment": _moment("dateandtime", "datetime"),
        "voltage": _volt("potential", "voltage", unit=""),
        "current": _ampere("current", unit=""),
        "temperature": _celsius("temperature"),
        "ambient": _celsius("circuittemperature"),
        "step": _count("stepposition", "stepnumber"),
        "cycle": _count("cyclenumber"),
    },
    marks=("runtime",),
)

BASYTEC = TesterFormat(
    "basytec",
    "a Basytec text export",
    {
        "test_time": _time("time", "testtime"),
        "step_time": _time("tstep"),
        "moment": _moment("datetime", "date", "timestamp"),
        "voltage": _volt("u", "u1", unit=""),
        "current": _ampere("i", "i1", unit=""),
        "temperature": _celsius("t1", "tcell", "temperature", "t"),
        "step": _count("line", "linenumber"),
        "cycle": _count("cyccount", "count"),
        "state": _word("command"),
        "record": _count("dataset"),
    },
    charge_words=("charge", "laden"),
    discharge_words=("discharge", "entladen"),
    marks=("tstep", "dataset", "tset", "cyccount", "line"),
)

BIOLOGIC = TesterFormat(
    "biologic",
    "a BioLogic text export",
    {
        "test_time": _time("time"),
        "step_time": _time("steptime"),
        "voltage": _volt("ecell", "<ecell>", "eweece", "ewe", "<ewe>", unit=""),
        "current": _ampere("i", "<i>", unit=""),
        "temperature": _celsius("temperature"),
        "step": _count("ns"),
        "cycle": _count("cyclenumber"),
        "frequency": Sought(Quantity.COUNT, ("frequency", "freq"), "hz"),
    },
    marks=("ns", "mode", "ecell", "<ecell>", "ewe", "<ewe>", "eweece"),
)

BATTERYARCHIVE = TesterFormat(
    "batteryarchive",
    "a Battery Archive csv",
    {
        "test_time": _time("time", "testtime"),
        "moment": _moment("datetime"),
        "voltage": _volt("voltage", unit=""),
        "current": _ampere("current", unit=""),
        "temperature": _celsius("celltemperature"),
        "ambient": _celsius("environmenttemperature", "temp2"),
        "step": _count("step", "stepindex"),
        "cycle": _count("cycleindex", "cyclenumber"),
        "frequency": Sought(Quantity.COUNT, ("frequency", "freq"), "hz"),
    },
    marks=("celltemperature", "chargecapacity", "dischargecapacity"),
    foreign=("datapoint", "reasoncode"),
)

BDF = TesterFormat(
    "bdf",
    "a Battery Data Format table",
    {
        "test_time": _time("testtime"),
        "moment": _moment("unixtime", "datetime"),
        "voltage": _volt("voltage", unit=""),
        "current": _ampere("current", unit=""),
        "temperature": _celsius("surfacetemperature", "temperaturet1", "surfacetemperaturet1"),
        "ambient": _celsius("ambienttemperature"),
        "step": _count("stepcount", "stepcount1", "stepdimensionless", "stepindex", "stepid"),
        "cycle": _count("cyclecount", "cyclecount1", "cycledimensionless"),
        "record": _count("recordindex", "recordindex1"),
    },
    label_pattern=r"[A-Z][A-Za-z]+ / m?[VA]|[a-z]+_(volt|ampere|v|a)",
)

TABLE_FORMATS: Mapping[str, TesterFormat] = {
    each.word: each
    for each in (BDF, NEWARE_TABLE, ARBIN, MACCOR, LANDT, PEC, NOVONIX, BASYTEC, BIOLOGIC, BATTERYARCHIVE)
}
"""By format word; the one whose headings are laid down by a standard first."""
