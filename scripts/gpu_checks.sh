#!/usr/bin/env bash
# Checks training on a GPU in under 8 minutes: float32, bf16, fp16, torch.compile, FSDP2 in one process,
# and a whole run with its prediction; speed, memory and the share of the card's own ceiling beside each.
#
#   bash scripts/gpu_checks.sh                            # writes docs/benchmarks/gpu.md
#   bash scripts/gpu_checks.sh --out my_card.md
#   bash scripts/gpu_checks.sh --dry-run                  # every command of it in tiny sizes on a CPU
#
# Ends with 0 where all passed, 1 where a check failed, 2 where an option is wrong, 3 where there is no
# GPU. PYTHON names another interpreter than .venv/bin/python, such as that of an image with CUDA.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  [ -x .venv/bin/python ] && PYTHON=.venv/bin/python
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" TOKENIZERS_PARALLELISM=false
exec "$PYTHON" scripts/gpu_checks.py "$@"
