"""The traceability record: append-only, chained, verifiable without the service."""
