"""Every example runs as it stands, for two steps, and its encoder loads into the stock network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import resnet18

from helpers.fresh_process import run_program

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_its_encoder_is_a_plain_resnet(example: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "encoder.pt")
    done = run_program(str(example), "--steps", "2", "--output", output, env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert "step    1  loss" in done.stdout
    network = resnet18(spatial_dims=2, n_input_channels=1, conv1_t_stride=2, bias_downsample=False, feed_forward=False)
    network.load_state_dict(torch.load(tmp_path / "encoder.pt", weights_only=True))


def test_every_method_has_an_example_of_a_page() -> None:
    methods = {path.parent.name for path in EXAMPLES[0].parents[1].glob("bundles/*_pretrain/configs")}
    assert {f"{path.stem}_pretrain" for path in EXAMPLES} == methods
    assert max(len(path.read_text().splitlines()) for path in EXAMPLES) <= 80
