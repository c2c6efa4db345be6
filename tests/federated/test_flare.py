"""Messages between a site and the server, as plain values."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from monai_ext.federated.flare import _answer_of, _as_arrays


def reply(**changes):
    meta = {"images": 5, "description": {}, "failure": "", "client_name": "site-1"}
    return SimpleNamespace(params={"w": np.ones(2, np.float32)}, metrics={"loss": 1.0}, meta=meta | changes)


def test_weights_survive_a_message_bit_for_bit_with_their_types():
    weights = {"w": torch.rand(3, 2), "n": torch.tensor(7)}
    back = _answer_of(SimpleNamespace(params=_as_arrays(weights), metrics={}, meta=reply().meta))
    assert all(torch.equal(back.weights[name], value) for name, value in weights.items())
    assert back.weights["n"].dtype == torch.int64


def test_of_a_message_only_what_is_known_is_kept():
    answer = _answer_of(reply(more="Zqx7"))
    assert (answer.images, answer.metrics, answer.failure) == (5, {"loss": 1.0}, "")
    strange = reply()
    strange.metrics = {"loss": 1.0, "Zqx7": 2.0}
    assert _answer_of(strange).metrics == {"loss": 1.0}


@pytest.mark.parametrize("change", [{"images": "many"}, {"description": 3}, {"images": None}])
def test_a_message_of_another_form_is_a_failure_of_its_site(change):
    assert _answer_of(reply(**change)).failure == "its answer has another form than this version's"
