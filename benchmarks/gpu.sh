#!/usr/bin/env bash
# Everything that only a GPU can show, on one card in under nine minutes, without a network; most valuable first.
# Each part has its own time limit and ends with JSON lines; what is finished lies in the folder given (gpu-results).
#
#   make setup          # with a CUDA build of PyTorch in .venv; on a machine without network: benchmarks/wheels.sh first
#   bash benchmarks/gpu.sh gpu-results
set -u
cd "$(dirname "$0")/.."
out=${1:-gpu-results}
python=${PYTHON:-.venv/bin/python}
mkdir -p "$out"

part() {
    local name=$1 seconds=$2
    shift 2
    echo "== $name"
    timeout "$seconds" "$@" > "$out/$name.log" 2>&1
    echo "{\"part\": \"$name\", \"status\": $?}" | tee -a "$out/parts.jsonl"
    tail -n 3 "$out/$name.log"
}

"$python" -c 'import json, torch; d = torch.cuda; print(json.dumps({"device": d.get_device_name(), "capability": d.get_device_capability(), "torch": torch.__version__, "cuda": torch.version.cuda}))' | tee "$out/machine.json" || exit 1
part tests 150 "$python" -m pytest -q -m gpu tests
part memory 120 "$python" -m benchmarks.gpu memory
part speed 180 "$python" -m benchmarks.gpu speed
part study 80 "$python" -m benchmarks.gpu study
