#!/usr/bin/env bash
# Tests with the lowest versions of the dependencies that pyproject.toml allows, in an environment of
# their own: what touches the libraries most. Arguments replace the choice and go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

prepare test .venv-lowest constraints-lowest.txt
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false
if [ $# = 0 ]; then
  set -- tests/data/reading tests/prediction/test_given_texts.py tests/cli/test_end_to_end.py \
    tests/cli/test_train_tagger.py \
    tests/modeling/test_{architectures,freezing,lora,masked_lm,passes,tokenizers,weights}.py
fi
.venv-lowest/bin/pytest -m "not slow and not distributed and not crash and not gpu" -n auto --maxprocesses 8 "$@"
