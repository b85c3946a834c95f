"""What is said about a frame log: everything left out, with its count and the reason."""

from collections.abc import Iterator, Mapping

from features.findings import Evidence, Finding, Message, Severity
from features.readers.gbt32960_frames import FrameCounts
from features.readers.gbt32960_merge import Merged
from features.readers.gbt32960_samples import ReportCounts
from features.readers.gbt32960_tables import EDITIONS, Command

MOST_DAMAGED_FRACTION = 0.01
"""A torn frame now and then is a radio's hiccup; more is a caution."""


def frame_findings(counts: FrameCounts) -> Iterator[Finding]:
    """Findings about the whole file, from its counts."""
    yield _summary(counts)
    lost = counts.checksum_failed + counts.truncated + counts.malformed
    damaged = lost > MOST_DAMAGED_FRACTION * max(1, counts.frame_count)
    yield from _damage(counts, Severity.CAUTION if damaged else Severity.NOTE)
    yield from _counted(
        "gbt32960.encrypted",
        Severity.CAUTION,
        {"count": counts.encrypted},
        "frames are encrypted and were not read",
        "帧已加密，未读取",
    )
    yield from _counted(
        "gbt32960.replies",
        Severity.NOTE,
        {"count": counts.replies},
        "frames are answers of the platform",
        "帧为平台应答",
    )


def report_findings(counts: ReportCounts) -> Iterator[Finding]:
    """Findings about the reports of one vehicle, from their counts."""
    yield from _left_out(counts)
    yield from _per_column(counts)
    if counts.alarm_bits:
        named = ", ".join(f"{name} ({count})" for name, count in counts.alarm_bits.most_common())
        message = Message(f"Alarms about the battery, with their frames: {named}.", f"电池相关报警及帧数：{named}。")
        yield Finding("gbt32960.battery_alarms", Severity.CAUTION, message, dict(counts.alarm_bits))


def _summary(counts: FrameCounts) -> Finding:
    evidence: dict[str, bool | int | float | str] = {}
    for (first_byte, command), count in sorted(counts.commands.items()):
        year = EDITIONS[bytes([first_byte, first_byte])].year
        word = Command(command).name.lower() if command in set(Command) else "other"
        name = f"{word}_{year}_count"
        evidence[name] = int(evidence.get(name, 0)) + count
    message = Message(
        f"{counts.frame_count} frames: {', '.join(f'{name} {value}' for name, value in evidence.items())}.",
        f"共{counts.frame_count}帧：{'，'.join(f'{name} {value}' for name, value in evidence.items())}。",
    )
    return Finding("gbt32960.frames", Severity.NOTE, message, evidence)


def _damage(counts: FrameCounts, severity: Severity) -> Iterator[Finding]:
    yield from _counted(
        "gbt32960.frames_damaged",
        severity,
        {
            "checksum_failed_count": counts.checksum_failed,
            "truncated_count": counts.truncated,
            "malformed_count": counts.malformed,
        },
        "frames are damaged and were left out",
        "帧损坏，已去除",
    )
    yield from _counted(
        "gbt32960.bytes_dropped",
        severity,
        {"byte_count": counts.dropped_bytes},
        "bytes belong to no whole frame and were left out",
        "字节不属于任何完整帧，已去除",
    )
    yield from _counted(
        "gbt32960.lines_without_frame",
        Severity.NOTE,
        {"line_count": counts.lines_without_frame},
        "lines hold no frame and were left out",
        "行中无报文，已去除",
    )


def _left_out(counts: ReportCounts) -> Iterator[Finding]:
    for code, severity, count, en, zh in (
        (
            "frames_without_time",
            Severity.NOTE,
            counts.without_time,
            "frames carry no moment from 2010 to 2099 and were left out",
            "帧时间无效，已去除",
        ),
        (
            "cell_lists_without_place",
            Severity.CAUTION,
            counts.lists_without_place,
            "cell lists contradict their own start, count or total and were left out",
            "个单体电压列表的起始序号、数量与总数矛盾，已去除",
        ),
        ("signature_not_verified", Severity.NOTE, counts.signed, "signatures were not verified", "个签名未验证"),
    ):
        yield from _counted(f"gbt32960.{code}", severity, {"count": count}, en, zh)
    unread: Evidence = {f"block_0x{number:02x}_count": count for number, count in sorted(counts.unread_blocks.items())}
    yield from _counted(
        "gbt32960.unknown_blocks",
        Severity.CAUTION,
        unread,
        "frames hold a block of unknown length; what follows it was not read",
        "帧包含未知长度的数据块，其后内容未读取",
    )


def _per_column(counts: ReportCounts) -> Iterator[Finding]:
    yield from _counted(
        "gbt32960.invalid_values",
        Severity.NOTE,
        {f"{name}_count": count for name, count in counts.invalid.items()},
        "values mean 'invalid' and count as missing",
        "个值为无效码，按缺失处理",
    )
    yield from _counted(
        "gbt32960.values_out_of_range",
        Severity.CAUTION,
        {f"{name}_count": count for name, count in counts.out_of_range.items()},
        "values lie outside what the standard or the column can hold and count as missing",
        "个值超出允许范围，按缺失处理",
    )


def row_findings(merged: Merged) -> Iterator[Finding]:
    """Findings about how the frames of one vehicle became rows."""
    for code, severity, count, en, zh in (
        (
            "repeated_reports",
            Severity.NOTE,
            merged.repeated_count,
            "reports are for a second that was already reported; only what was missing was taken from them",
            "帧与已有时刻重复，仅用于补齐缺失值",
        ),
        (
            "reports_differ",
            Severity.CAUTION,
            merged.conflict_count,
            "seconds were reported more than once with different values; live reports and the first were kept",
            "个时刻的重复数据不一致，保留实时及首个数据",
        ),
        (
            "parts_joined",
            Severity.NOTE,
            merged.joined_count,
            "seconds hold parts of the report just before and were joined to it",
            "个时刻为前一报文的后续部分，已合并",
        ),
        (
            "cell_lists_too_long",
            Severity.CAUTION,
            merged.misplaced_count,
            "cell lists are longer than their subsystem and were left out",
            "个单体电压列表超出子系统电池总数，已去除",
        ),
    ):
        yield from _counted(f"gbt32960.{code}", severity, {"count": count}, en, zh)


def _counted(
    code: str, severity: Severity, evidence: Mapping[str, bool | int | float | str], en: str, zh: str
) -> Iterator[Finding]:
    total = sum(int(count) for count in evidence.values())
    if total:
        known = {name: count for name, count in evidence.items() if count}
        yield Finding(code, severity, Message(f"{total} {en}.", f"{total}{zh}。"), known)
