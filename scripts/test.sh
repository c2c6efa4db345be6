#!/usr/bin/env bash
# Installs into .venv, then lints, type-checks and runs all tests. Arguments go to pytest. Can be run again.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
install_project test,docs

export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true
# Containers often set it. Then each of the tests' processes compiles MONAI, MLflow and the tests anew: 8 to 16 s each.
unset PYTHONDONTWRITEBYTECODE
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/sphinx-build -q -W --keep-going docs build/pages
# Tests and doctests, one file at a time in each of two processes; TEST_PROCESSES=0 runs them in one. Files with slow tests come
# first (tests/conftest.py), then the tree in its order: xdist would put files of few tests last, which are the longest, and at
# the end one process would wait for the other.
.venv/bin/python -m pytest --numprocesses "${TEST_PROCESSES:-2}" --dist loadfile --no-loadscope-reorder "$@"
if [ $# -eq 0 ]; then
    # Once more the methods and the engines with the instructions of a processor without AVX-512; oneDNN has other code then.
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 .venv/bin/python -m pytest --numprocesses "${TEST_PROCESSES:-2}" \
        --dist load tests/families tests/engines tests/parallel tests/bundles/test_processors.py
fi
# What MONAI's model zoo checks of bundles without weights; trained ones are checked by tests/bundles/test_monai_tools.py. What was
# trained here before (the quickstart's ResNet-18, for one) is left out: metadata describe the settings that bundles come with.
schema=../shared/monai/meta_schema_20240725.json
untrained=$(mktemp -d)
trap 'rm -rf "$untrained"' EXIT
tar -c -C bundles --exclude models --exclude eval --exclude predictions . | tar -x -C "$untrained"
.venv/bin/python -m monai_ext bundle check "$untrained"/* $([ -f "$schema" ] && echo --schema "$schema")
echo
echo "All checks passed. Next: bash scripts/quickstart.sh, or README.md for training on your own slices."
