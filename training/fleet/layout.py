"""Where a simulated fleet keeps what: names inside its folder."""

TELEMETRY_FOLDER = "telemetry"
"""One canonical ``telemetry`` Parquet per pack, named after it."""

MANIFEST_FILE = "manifest.csv"
"""For ``packgrade batch``."""

TRUTH_FILE = "truth.csv"
"""What every pack truly has left, and which group of it is weak."""

DIGEST_FILE = "SHA256SUMS"
"""Digest of every other file, as ``sha256sum --check`` reads it."""
