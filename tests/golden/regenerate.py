"""Freezes the golden bundle, its decisions and the golden features anew: ``python -m tests.golden.regenerate``.

Run it when a change of physics, kernel, interval or policy is meant, and say in the commit why the
numbers moved. A changed equation also needs a raised version of its feature set.
"""

import json
import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from models.bundle import load_bundle
from models.policy_file import SHIPPED_POLICY
from tests.golden.golden_cases import BUNDLE_FOLDER, DECISIONS_FILE, FEATURES_FILE, golden_decisions, golden_features
from tests.training.synthetic_pulses import synthetic_rows, write_public_layout
from tests.training.tiny_plan import tiny_plan
from training.run import JudgedBundle, judge, train_bundle

FROZEN_ON = date(2026, 11, 1)


def main() -> None:
    """Write everything that is frozen."""
    with tempfile.TemporaryDirectory() as scratch:
        data_folder = write_public_layout(synthetic_rows(), Path(scratch))
        judged = judge(tiny_plan(), data_folder, SHIPPED_POLICY, print)
    shutil.rmtree(BUNDLE_FOLDER, ignore_errors=True)
    train_bundle(JudgedBundle.of(judged), BUNDLE_FOLDER, FROZEN_ON, print)
    _write(DECISIONS_FILE, golden_decisions(load_bundle(BUNDLE_FOLDER)))
    _write(FEATURES_FILE, golden_features())


def _write(file: Path, frozen: dict[str, dict[str, Any]]) -> None:
    file.write_text(json.dumps(frozen, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
