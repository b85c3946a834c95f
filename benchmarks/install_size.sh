#!/usr/bin/env bash
# What the base install weighs, and that it serves without scikit-learn and mlflow.
# Makes a fresh environment in a temporary folder, installs a wheel with the pins, grades the samples over HTTP.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/base"
"$work/base/bin/python" -m pip install --quiet --quiet --disable-pip-version-check -c "$root/constraints.txt" "$root"
cd "$work"
echo "packages: $("$work/base/bin/python" -m pip list --format=freeze --disable-pip-version-check | wc -l)"
echo "size:     $(du -sm "$work/base" | cut -f1) MB"
for absent in sklearn mlflow matplotlib; do
    if "$work/base/bin/python" -c "import $absent" 2>/dev/null; then
        echo "$absent is installed, but the base install must do without"
        exit 1
    fi
    echo "absent:   $absent"
done
"$work/base/bin/python" -m pip list --format=freeze --disable-pip-version-check >"$work/packages.txt"
du -sm "$work"/base/lib/python*/site-packages/* | sort -rn | head -8 | while read -r size path; do
    printf 'heaviest: %4s MB %s\n' "$size" "$(basename "$path")"
done
"$work/base/bin/packgrade" demo --once
