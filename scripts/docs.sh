#!/usr/bin/env bash
# Builds the documentation site into site/; `bash scripts/docs.sh --serve` shows it while you edit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

prepare docs
export PYTHONPATH=.   # for scripts/docs_extension.py
if [ "${1:-}" = "--serve" ]; then
  exec .venv/bin/python -m zensical serve
fi
.venv/bin/python -m zensical build --strict --clean
echo "The site is in site/index.html."
