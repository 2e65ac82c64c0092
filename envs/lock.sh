#!/bin/sh
# Resolve requirements.in and requirements-dev.in in a fresh environment and write the pinned lists.
# Build tags (+cpu) and torch's own CUDA packages stay out: they follow from torch's pin.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
pip="$scratch/env/bin/python -m pip"
pins() {
  $pip freeze --exclude pip --exclude setuptools | sed -E 's/\+cpu//' | grep -viE '^(nvidia-|triton|cuda-)' | sort
}
$pip install --quiet -r "$here/requirements.in"
pins >"$scratch/run"
$pip install --quiet -r "$here/requirements-dev.in"
pins >"$scratch/all"
{
  echo "# Resolved from requirements.in by 'make lock'; torch's own CUDA packages follow from its pin."
  cat "$scratch/run"
} >"$here/lock.txt"
{
  echo "# Resolved from requirements-dev.in by 'make lock': what the tests need besides lock.txt."
  comm -13 "$scratch/run" "$scratch/all"
} >"$here/lock-dev.txt"
