#!/usr/bin/env bash
# From nothing to a trained model in a few minutes: installs into .venv, pre-trains SparK on the embedded sample
# (generated phantom CT, written and read back as DICOM), and says what to look at. Can be run again.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
install_project

bundle=bundles/spark_pretrain
echo "Pre-training SparK (ResNet-18, 96 px) on the embedded sample of phantom CT ..."
.venv/bin/python -m monai.bundle run \
    --config_file "['$bundle/configs/train.json','$bundle/configs/smoke.json']" \
    --epochs "${EPOCHS:-24}" --val_interval 6 --window "[0,2000]"

pictures="$(ls -t "$bundle"/models/*/*.png | head -n 1)"
cat <<END

Done. What to look at next:
  $pictures
      held-out slices: input, what the network saw, what it painted
  $bundle/models/encoder.pt
      the pre-trained ResNet; README.md shows how to load it
  .venv/bin/mlflow ui
      curves, pictures and settings of the run, at http://127.0.0.1:5000
  .venv/bin/python -m monai.bundle run --config_file $bundle/configs/train.json --dataset_dir FOLDER
      the same on your own DICOM, NIfTI or PNG slices, with the paper's settings
  .venv/bin/python -m monai_ext study run studies/demo.json --workers 2
      does pre-training help with few labels? A small study of phantoms, with a report to read
END
