"""How many GB/T 32960.3 report frames one core decodes per second, and which step takes the time.

``python benchmarks/gbt32960_speed.py [--frames 100000] [--cells 96]`` writes a log of synthetic report
frames (vehicle, motor, position, extremes, alarm, cells, probes) and prints frames/s and MB/s of wall and
CPU time for both editions, binary and hexadecimal: finding frames, decoding them, and the whole way to
the canonical table with its checks. Everything runs in one process without threads.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from features.readers.gbt32960 import decode_frames, read_gbt32960
from features.readers.gbt32960_frames import FrameCounts
from features.readers.gbt32960_source import frames_of
from tests.support.gbt32960_encoder import Pack, Report, hex_lines, report_frame

BEGIN = datetime(2025, 11, 1, tzinfo=UTC)


def log_frames(frame_count: int, cell_count: int, edition: int) -> list[bytes]:
    """Reports every 10 s: charging and driving by turns, cell voltages and state of charge that follow."""
    frames, soc = [], 50.0
    for number in range(frame_count):
        charging = number // 500 % 2 == 0
        ampere = -60.0 if charging else 60.0
        soc -= ampere * 10.0 / 3600.0 / 150.0 * 100.0
        cells = [round(3.2 + 0.002 * soc + 0.001 * (cell % 7), 3) for cell in range(cell_count)]
        volt = round(sum(cells), 1)
        pack = Pack(cells=cells, probes=[25.0] * 16, volt=volt, ampere=ampere)
        moment = BEGIN + timedelta(seconds=10 * number)
        report = Report(moment, volt, ampere, int(soc), charge_state=1 if charging else 3, packs=[pack])
        frames.append(report_frame(report, edition))
    return frames


def print_speed(step: str, work: Callable[[], object], frame_count: int, byte_count: int) -> None:
    """One line: frames/s by wall clock and by CPU time, and MB/s."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rates = f"{frame_count / wall:>10,.0f} frames/s  {frame_count / cpu:>10,.0f} frames/CPU-s"
    print(f"  {step:<28} {rates}  {byte_count / wall / 1e6:>7.1f} MB/s")


def main() -> None:
    """Write the logs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=96)
    arguments = parser.parse_args()
    for edition in (2016, 2025):
        frames = log_frames(arguments.frames, arguments.cells, edition)
        for kind, content in (("binary", b"".join(frames)), ("hexadecimal", hex_lines(frames).encode())):
            print(f"edition {edition}, {kind}: {len(frames)} frames of {len(frames[0])} bytes")
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "log"
                path.write_bytes(content)
                size = len(content)
                print_speed(
                    "frames found and checked",
                    lambda path=path: [None for _ in frames_of(path, FrameCounts())],
                    len(frames),
                    size,
                )
                print_speed("decoded as columns", lambda path=path: decode_frames(path), len(frames), size)
                print_speed("read as telemetry", lambda path=path: read_gbt32960(path), len(frames), size)


if __name__ == "__main__":
    main()
