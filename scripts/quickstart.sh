#!/usr/bin/env bash
# From nothing to an adapted sentiment model: film reviews with labels, tweets without.
# Makes .venv, trains a source-only model, `auto` and plain DANN, compares them, and uses the result.
# Arguments go to `nlp-adapt train`: bash scripts/quickstart.sh --seed 7
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

for word in "$@"; do
  case "$word" in
    --output_dir* | --output-dir*)
      echo "The quickstart keeps its runs in runs/quickstart and runs/quickstart-dann: leave out $word." >&2
      exit 2
      ;;
  esac
done

prepare quickstart
.venv/bin/nlp-adapt train --config recipes/sentiment/quickstart.yaml --overwrite "$@"

echo
echo "The same with plain DANN:"
.venv/bin/nlp-adapt train --config recipes/sentiment/quickstart.yaml --overwrite "$@" \
  --method dann --compare_source_only false --eval_strategy no \
  --output_dir runs/quickstart-dann

echo
echo "All three:"
.venv/bin/nlp-adapt compare runs/quickstart runs/quickstart-dann
echo "One pair and one seed: over twelve pairs, DANN lost up to 9.7 points and gained up to 14.5 (docs/methods/adversaries.md)."

echo
echo "The saved model in transformers.pipeline:"
.venv/bin/python - <<'PYTHON'
import transformers

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
classify = transformers.pipeline("text-classification", model="runs/quickstart/model", device="cpu")
sentences = [
    "just watched it again and i still love every minute :)",
    "worst service ever, two hours on hold and nobody picked up",
    "my new phone is so fast, totally worth it!",
]
for sentence, answer in zip(sentences, classify(sentences)):
    print(f"  {answer['label']:>10}  {answer['score']:.2f}  {sentence}")
PYTHON

echo
echo "A larger encoder, five times the parameters (405 MB, fetched once):"
echo "  bash scripts/quickstart.sh --model builtin:mpnet-base --learning_rate 2e-5"
echo "What is measured of its points and minutes: docs/benchmarks/encoders.md"
echo "A small model that it has taught keeps over half of what it gains: docs/how-to/distil.md"
