"""What the service counts for Prometheus; BentoML serves it at ``/metrics`` beside its own figures.

With several workers the counts lie in files of a shared folder, which ``prometheus_client`` looks for
when it is imported: BentoML sets that folder before it starts a worker.
"""

from prometheus_client import Counter, Histogram

DECISIONS = Counter(
    "packgrade_decisions",
    "Decisions recorded, by outcome and by the method the estimate rests on (none without an estimate).",
    ["outcome", "method"],
)
REPEATED = Counter("packgrade_repeated_requests", "Requests answered with the decision recorded before.")
REFUSALS = Counter("packgrade_refusals", "Grading requests refused behind the door, by error code.", ["code"])
GRADE_SECONDS = Histogram(
    "packgrade_grade_seconds",
    "Time from a checked request to its recorded decision. [s]",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
