#!/usr/bin/env bash
# Collects the wheels that a GPU machine without network lacks, on a machine that has one: here the CUDA build of PyTorch.
#
#   bash benchmarks/wheels.sh wheels https://download.pytorch.org/whl/cu130
#   on the other machine: python3.11 -m venv .venv && .venv/bin/pip install --no-index --find-links wheels -c constraints.txt -e '.[dev,tools]'
set -eu
cd "$(dirname "$0")/.."
folder=${1:-wheels}
index=${2:-https://download.pytorch.org/whl/cu130}
python=${PYTHON:-.venv/bin/python}
"$python" -m pip download --dest "$folder" -c constraints.txt torch --index-url "$index" --extra-index-url https://pypi.org/simple
"$python" -m pip download --dest "$folder" -c constraints.txt '.[dev,tools]' setuptools wheel --find-links "$folder"
