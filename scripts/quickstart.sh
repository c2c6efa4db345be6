#!/usr/bin/env bash
# From nothing to a trained model in a few minutes: installs into .venv, pre-trains SparK on the embedded sample
# (generated phantom CT, written and read back as DICOM), and says what to look at. Can be run again.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
install_project

bundle=bundles/spark_pretrain
echo "Pre-training SparK (ResNet-18) on the embedded sample of phantom CT ..."
.venv/bin/python -m monai.bundle run \
    --config_file "['$bundle/configs/train.json','$bundle/configs/smoke.json']" --epochs "${EPOCHS:-12}"
