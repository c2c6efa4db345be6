"""The network that is left of a method takes images, has the method's state dict, and exports."""

from __future__ import annotations

import pytest
import torch

from helpers.contrastive_models import small_method
from helpers.methods import METHODS
from monai_ext.networks import FeatureNetwork

every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_it_has_the_methods_weights_themselves_under_their_names(name):
    method = METHODS[name].network()
    network = FeatureNetwork(method)
    own, theirs = network.state_dict(), method.state_dict()
    assert own.keys() == theirs.keys()
    assert all(own[key].data_ptr() == theirs[key].data_ptr() for key in own)


@every_method
def test_it_is_the_encoder(name):
    method = METHODS[name].network().eval()
    images = torch.rand(2, 1, 64, 64)
    assert torch.equal(FeatureNetwork(method).eval()(images), method.encoder(images).flatten(1))


def test_what_is_not_run_is_not_compiled():
    method = small_method("BYOL")
    with pytest.raises(RuntimeError):
        torch.jit.script(method)
    script = torch.jit.script(FeatureNetwork(method).eval())
    assert script(torch.rand(2, 1, 8, 8, dtype=torch.float64)).shape == (2, 4)
