"""How many decisions per second become durable in PostgreSQL, as multiples of one connection's bare inserts.

``python -m benchmarks.record_throughput_postgres [--seconds 2] [--rounds 3]`` starts a server of its own
and measures in turns, so that another load of the machine meets all of them: rows as large as a decision
inserted by one connection, each in its own commit; durable decisions of one client; of 16 clients. At
the end it verifies the whole record and prints leaves per second.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.record_throughput import appends_per_second, decision
from serving.record.leaf import canonical_bytes
from serving.record.ledger import Ledger
from serving.record.verify import verify_record
from tests.support.postgres_server import running_server

CLIENTS = 16


def inserts_per_second(url: str, row: bytes, seconds: float) -> float:
    """Rate of one connection that inserts a row with a key and commits, one after the other."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (number bigserial PRIMARY KEY, content bytea NOT NULL)")
        count, until = 0, time.perf_counter() + seconds
        while time.perf_counter() < until:
            connection.execute("INSERT INTO bare (content) VALUES (%s)", [row])
            count += 1
    return count / seconds


def measured(bare: str, record: str, key: Path, seconds: float, rounds: int) -> list[tuple[float, float, float]]:
    """Rates of bare inserts, of one client and of 16 clients, round after round."""
    leaf = decision()
    body: dict[str, Any] = leaf.body
    with Ledger.open(record, "benchmark", key=key) as ledger:
        return [
            (
                inserts_per_second(bare, canonical_bytes(leaf), seconds),
                appends_per_second(ledger, body, 1, seconds),
                appends_per_second(ledger, body, CLIENTS, seconds),
            )
            for _ in range(rounds)
        ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="how often they take turns")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_server() as server:
        bare, record = server.new_database(), server.new_database()
        rates = measured(bare, record, Path(folder) / "log.key", options.seconds, options.rounds)
        begun = time.perf_counter()
        report = verify_record(record)
        verified = report.entry_count / (time.perf_counter() - begun)
    inserts, one, many = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = statistics.median(of_many / bare_rate for bare_rate, _, of_many in rates)
    print(f"bare inserts, 1 connection    {inserts:8.0f} /s")
    print(f"decisions, 1 client           {one:8.0f} /s")
    print(f"decisions, {CLIENTS} clients         {many:8.0f} /s = {ratio:4.2f} x the bare inserts of its round")
    print(
        f"                              {'':8}     = {statistics.median(c / b for _, b, c in rates):4.2f} x one client"
    )
    print(f"verified                      {verified:8.0f} leaves/s, {report.entry_count}, intact: {report.is_intact}")


if __name__ == "__main__":
    main()
