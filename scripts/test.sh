#!/usr/bin/env bash
# Installs into .venv, then lints, type-checks and runs all tests. Arguments go to pytest. Can be run again.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
install_project test,docs

export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/sphinx-build -q -W --keep-going docs build/pages
# Tests and doctests, one file at a time in each of two processes; TEST_PROCESSES=0 runs them in one.
.venv/bin/python -m pytest --numprocesses "${TEST_PROCESSES:-2}" --dist loadfile "$@"
# What MONAI's model zoo checks, without its network.
.venv/bin/python -m monai_ext bundle check bundles/*
echo
echo "All checks passed. Next: bash scripts/quickstart.sh, or README.md for training on your own slices."
