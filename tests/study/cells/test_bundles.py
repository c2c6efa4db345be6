"""The plans that come with the project can be read, and name bundles and ids that exist."""

from pathlib import Path

import pytest

from monai_ext.study.cells.bundles import BundleConfig, find_bundle
from monai_ext.study.plan import read_plan

PLANS = sorted((Path(__file__).resolve().parents[3] / "studies").glob("*.json"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_names_what_its_bundles_have(path):
    plan = read_plan(path)
    assert plan.name == path.stem
    for method in plan.methods:
        if method.source == "bundle":
            overrides = {**plan.pretraining["overrides"], **method.overrides}
            assert not BundleConfig(find_bundle(method.value), overrides).problems()
    for protocol in plan.protocols:
        for task in plan.tasks_of(protocol):
            assert not BundleConfig(find_bundle(task.bundle), {**task.overrides, **protocol.overrides}).problems()


def test_the_plans_that_are_told_of_are_there():
    documented = {"low_data", "small_cpu", "mask_ratio", "samples_per_class", "decoder_width", "demo"}
    assert documented <= {path.stem for path in PLANS}
