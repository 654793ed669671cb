#!/usr/bin/env bash
# What a GPU must show of the training: correctness first, then speed; in under ten minutes, in one JSON file.
#
#   benchmarks/gpu.sh [--tiny] [--out gpu.json] [--seconds 540] [--only PART ...]
#
# It uses the first Python that has what the training imports: $PYTHON, .venv, python3. If there is none, it makes
# .venv-gpu, which sees the packages of python3 (its torch knows the GPU) and gets what is missing; with WHEELS=FOLDER
# from that folder alone, for a machine without a network. --tiny: on a CPU, to test the script itself.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" TOKENIZERS_PARALLELISM=false

usable() { command -v "$1" >/dev/null && "$1" -c 'import mtl.training.recipe, mtl.evaluation.predictor, mtl.data.prepare' 2>/dev/null; }

chosen=
for candidate in ${PYTHON:+"$PYTHON"} .venv/bin/python .venv-gpu/bin/python python3; do
  if usable "$candidate"; then chosen=$candidate; break; fi
done
if [ -z "$chosen" ]; then
  python3 -m venv --system-site-packages .venv-gpu
  from=(); [ -z "${WHEELS:-}" ] || from=(--no-index --find-links "$WHEELS")
  grep -vE '^(torch|triton|nvidia|numpy)' constraints.txt >.venv-gpu/constraints.txt  # these are the machine's own
  .venv-gpu/bin/pip install --quiet "${from[@]}" --constraint .venv-gpu/constraints.txt \
    accelerate boto3 datasets evaluate nltk orjson peft psutil pyarrow pydantic python-dotenv pyyaml rensa rouge_score \
    safetensors sentencepiece transformers
  chosen=.venv-gpu/bin/python
fi
exec "$chosen" benchmarks/gpu.py "$@"
