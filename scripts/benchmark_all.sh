#!/usr/bin/env bash
# Regenerates every page of docs/benchmarks from its script, one after the other.
#
#   bash scripts/benchmark_all.sh DATA              # all of it: days on two cores
#   bash scripts/benchmark_all.sh DATA cost amazon  # some pages
#   bash scripts/benchmark_all.sh --list            # the pages in order, and what each roughly costs
#
# DATA is the folder that scripts/benchmark_methods.py describes. Scripts that keep lines beside their page
# (*.runs.jsonl) go on where they stopped, unless the code has changed; the others begin anew. A script that
# fails is named at the end, and the next one runs all the same. PYTHON names another interpreter than
# .venv/bin/python; SCRATCH keeps what is too large for the tree (default: .benchmarks); ENVIRONMENTS is
# what scripts/peers/environments.py made, without which the peers are left out.
# Ends with 0 where all ran, 1 where one failed, 2 where an argument is wrong.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# name | rough cost on two cores | what runs; what costs least comes first, and what needs no data.
pages() {
  cat <<'PAGES'
cost|1 hour|benchmark_cost.py
checkpoints|15 minutes|benchmark_checkpoints.py --out docs/benchmarks/checkpoints.md
speed|2 hours, most of it memory over many steps|benchmark_speed.py
streaming|1 hour|benchmark_streaming.py --out docs/benchmarks/streaming.md
gpu|8 minutes, where there is a GPU|gpu_checks.py
few_labels|3 hours|benchmark_few_labels.py --data DATA --logits SCRATCH/logits --seeds 2
encoders|6 hours|benchmark_encoders.py --data DATA --seeds 3
domain_features|4 hours|benchmark_methods.py --data DATA --suite snippets --methods dann:domain_features=classifier dann:domain_features=first dann:domain_features=mean dann:domain_features=max source_only --seeds 1 --out docs/benchmarks/domain_features.md --set max_source_rows=1000 num_train_epochs=2 learning_rate=1e-4 lambda_max=0.3
snippets|9 hours|benchmark_methods.py --data DATA --suite snippets --keep SCRATCH/predictions --methods source_only auto twin_of_auto target_trained dann:lambda_max=0.1 dann:lambda_max=1.0 daln mcc self_training shares_told --seeds 3
distilled|4 hours|benchmark_methods.py --data DATA --suite snippets --methods source_only distilled_from_mpnet-base --seeds 3 --teachers SCRATCH/teachers --out docs/benchmarks/distilled.md
validators|2 minutes, of what snippets keeps|benchmark_validators.py --keep SCRATCH/predictions
review|5 minutes, of what validators stores|benchmark_review.py
snippets.mpnet-base|1 day|benchmark_methods.py --data DATA --suite snippets --encoder builtin:mpnet-base --methods auto twin_of_auto source_only --seeds 1 --set learning_rate=2e-5 num_train_epochs=2 max_source_rows=1500 max_test_rows=600
ner|3 hours|benchmark_protocol.py --data DATA --suite wnut --seeds 3
amazon|1 day|benchmark_protocol.py --data DATA --suite amazon --seeds 3
peers|1 day|benchmark_peers.py --data DATA --environments ENVIRONMENTS --seeds 3
PAGES
}

if [ "${1:-}" = "--list" ]; then
  pages | while IFS='|' read -r name cost command; do printf '%-20s %-44s %s\n' "$name" "$cost" "${command%% *}"; done
  exit 0
fi
DATA=${1:-}
if [ ! -d "$DATA" ]; then
  echo "benchmark_all: name the folder of the data first: bash scripts/benchmark_all.sh DATA [PAGE ...]" >&2
  exit 2
fi
shift
for wanted in "$@"; do
  if ! pages | grep -q "^$wanted|"; then
    echo "benchmark_all: there is no page $wanted; --list names them." >&2
    exit 2
  fi
done

if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  [ -x .venv/bin/python ] && PYTHON=.venv/bin/python
fi
SCRATCH=${SCRATCH:-.benchmarks}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
failed=()
while IFS='|' read -r name cost command <&3; do
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  if [[ "$command" == *ENVIRONMENTS* && -z "${ENVIRONMENTS:-}" ]]; then
    echo "== $name: left out, because ENVIRONMENTS is not set" >&2
    continue
  fi
  echo "== $name ($cost)" >&2
  words=()
  for word in $command; do
    case "$word" in
      DATA) word=$DATA ;;
      ENVIRONMENTS) word=$ENVIRONMENTS ;;
      SCRATCH/*) word=$SCRATCH/${word#SCRATCH/} && mkdir -p "$word" ;;
    esac
    words+=("$word")
  done
  "$PYTHON" "scripts/${words[0]}" "${words[@]:1}" 3<&-
  code=$?
  if [ "$name" = gpu ] && [ $code = 3 ]; then continue; fi
  if [ $code != 0 ]; then failed+=("$name"); fi
done 3< <(pages)

if [ ${#failed[@]} -gt 0 ]; then
  echo "benchmark_all: failed: ${failed[*]}" >&2
  exit 1
fi
