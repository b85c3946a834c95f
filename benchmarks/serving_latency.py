"""How long one battery takes over HTTP, with the record on disk, and what it costs the server.

A real server on a free port, one client on one kept-alive connection, one pulse test per request,
every request a new battery: so each answer waited for its own commit. Then the same under several
clients, and a body near the cap. Run from the repository::

    python -m benchmarks.serving_latency --requests 500 --folder /path/on/a/disk

Prints milliseconds and processor seconds; nothing is asserted.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import psutil

from serving.openapi_examples import PULSE_TEST
from serving.settings import SHIPPED_BUNDLE
from tests.support.running_service import RunningService, running_service

_WARM_UP = 20


def main() -> None:
    """Measure and print."""
    options = _options()
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        running_service(
            Path(folder) / "record.sqlite", environment={"PACKGRADE_BUNDLE": str(options.bundle.absolute())}
        ) as service,
    ):
        batteries = _batteries()
        _timed(service, batteries, _WARM_UP)
        cpu = _processor_second(service)
        alone = _timed(service, batteries, options.requests)
        cpu = (_processor_second(service) - cpu) / options.requests
        print(f"one client, {options.requests} requests: {_spread(alone)}, server CPU {1000 * cpu:.1f} ms per request")
        _print_several(service, batteries, options.requests, options.clients)
        _print_large(service)
        print(f"server memory {_resident_mebibyte(service):.0f} MiB (supervisor and worker)")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Latency of POST /v1/grade")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE)
    parser.add_argument("--folder", type=Path, default=Path(), help="folder on the disk whose fsync counts")
    return parser.parse_args()


def _batteries() -> Iterator[dict[str, Any]]:
    for number, request in enumerate(repeat(PULSE_TEST)):
        battery = {**request["battery"], "battery_id": f"bench-{number}", "scheme": "local"}
        yield {**request, "battery": battery}


def _timed(service: RunningService, batteries: Iterator[dict[str, Any]], count: int) -> list[float]:
    with service.client() as client:
        return [_graded_second(client, next(batteries)) for _ in range(count)]


def _graded_second(client: httpx.Client, request: dict[str, Any]) -> float:
    body = json.dumps(request).encode()
    begin = time.perf_counter()
    answer = client.post("/v1/grade", content=body, headers={"content-type": "application/json"})
    elapsed = time.perf_counter() - begin
    answer.raise_for_status()
    return elapsed


def _print_several(
    service: RunningService, batteries: Iterator[dict[str, Any]], request_count: int, client_count: int
) -> None:
    shares = [[next(batteries) for _ in range(request_count // client_count)] for _ in range(client_count)]
    begin = time.perf_counter()
    with ThreadPoolExecutor(client_count) as pool:
        times = [
            second
            for part in pool.map(lambda share: _timed(service, iter(share), len(share)), shares)
            for second in part
        ]
    rate = len(times) / (time.perf_counter() - begin)
    print(f"{client_count} clients, {len(times)} requests: {_spread(times)}, {rate:.0f} decisions/s")


def _print_large(service: RunningService) -> None:
    row_count = 120_000
    table = {
        "unix_time_second": [1.7e9 + 10.0 * row for row in range(row_count)],
        "pack_voltage_volt": [350.0 + 0.001 * (row % 1000) for row in range(row_count)],
        "pack_current_ampere": [10.0 + 0.01 * (row % 100) for row in range(row_count)],
        "reported_soc_percent": [float(40 + row % 50) for row in range(row_count)],
        "cell_voltage_max_volt": [3.7] * row_count,
        "cell_voltage_min_volt": [3.6] * row_count,
    }
    battery = {"battery_id": "bench-large", "level": "pack", "chemistry": "NMC", "rated_capacity_ah": 150.0}
    run = {"kind": "field_telemetry", "format": "telemetry", "table": table}
    request = {"battery": battery, "runs": [run]}
    size = len(json.dumps(request))
    with service.client() as client:
        second = _graded_second(client, request)
    print(f"one body of {size / 2**20:.1f} MiB, {row_count} rows of telemetry: {second:.2f} s")


def _spread(times: list[float]) -> str:
    p99 = quantiles(times, n=100)[98]
    return f"median {1000 * median(times):.1f} ms, p99 {1000 * p99:.1f} ms, largest {1000 * max(times):.1f} ms"


def _processes(service: RunningService) -> list[psutil.Process]:
    parent = psutil.Process(service.process.pid)
    return [parent, *parent.children(recursive=True)]


def _processor_second(service: RunningService) -> float:
    return float(sum(each.cpu_times().user + each.cpu_times().system for each in _processes(service)))


def _resident_mebibyte(service: RunningService) -> float:
    return float(sum(each.memory_info().rss for each in _processes(service))) / 2**20


if __name__ == "__main__":
    main()
