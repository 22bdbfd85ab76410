#!/usr/bin/env bash
# Everything a change must pass: lint, format, types, tests. Arguments go to pytest:
# bash scripts/test.sh tests/cli -k train
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

prepare test
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy nlp_adapt
.venv/bin/pytest -m "not slow and not distributed and not crash and not gpu" -n auto --maxprocesses 8 "$@"
