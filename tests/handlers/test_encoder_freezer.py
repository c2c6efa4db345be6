"""Freezing the encoder on MONAI's trainer: what learns, at which rate, with which statistics."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from torch import nn

from helpers.small_classifier import SmallClassifier, classifier_trainer
from monai_ext.handlers import EncoderFreezer
from monai_ext.optimizers import FineTuningSchedule, fine_tuning_groups


def _train(epochs: int = 4, **options):
    """Train with two epochs of the head alone; the optimiser's rates, weights and statistics after each epoch."""
    norm = options.pop("frozen_batch_norm", "eval")
    schedule = FineTuningSchedule(**{"protocol": "gradual", "head_only_epochs": 2, "start_fraction": 0.2, **options})
    trainer = classifier_trainer(lambda network: [EncoderFreezer(schedule, frozen_batch_norm=norm)], epochs=epochs)
    seen = [{name: value.clone() for name, value in trainer.network.state_dict().items()}]
    rates = []

    def note(engine):
        rates.append({group["name"]: group["lr"] for group in engine.optimizer.param_groups})
        seen.append({name: value.clone() for name, value in engine.network.state_dict().items()})

    trainer.add_event_handler(Events.EPOCH_COMPLETED, note)
    trainer.run()
    return trainer, rates, seen


def test_the_optimisers_rates_follow_the_schedule_by_epoch():
    _, rates, _ = _train(epochs=6)
    assert [rate["encoder"] for rate in rates] == pytest.approx([0, 0, 0.02, 0.04, 0.08, 0.1])
    assert {rate["head"] for rate in rates} == {0.1}


def test_while_frozen_only_the_head_changes_and_afterwards_everything():
    _, _, seen = _train()
    for before, after, frozen in zip(seen, seen[1:], (True, True, False, False), strict=False):
        assert not torch.equal(before["fc.weight"], after["fc.weight"])
        assert torch.equal(before["conv1.weight"], after["conv1.weight"]) is frozen
        assert torch.equal(before["bn1.running_mean"], after["bn1.running_mean"]) is frozen


def test_a_trainer_that_runs_on_keeps_the_encoder_frozen():
    trainer, _, _ = _train(epochs=1)
    before = trainer.network.bn1.running_mean.clone()
    trainer.state.max_epochs = 2
    trainer.run()
    assert torch.equal(trainer.network.bn1.running_mean, before)
    trainer.state.max_epochs = 3
    trainer.run()
    assert not torch.equal(trainer.network.bn1.running_mean, before)


def test_statistics_of_a_frozen_encoder_can_follow_the_data_while_scale_and_shift_stay():
    _, _, seen = _train(frozen_batch_norm="train")
    assert not torch.equal(seen[0]["bn1.running_mean"], seen[1]["bn1.running_mean"])
    assert torch.equal(seen[0]["bn1.weight"], seen[1]["bn1.weight"])


def test_batch_norms_of_a_frozen_encoder_can_learn_at_the_heads_rate_as_in_the_studys_code():
    trainer, rates, seen = _train(frozen_batch_norm="learn")
    for before, after in itertools.pairwise(seen[:3]):
        assert torch.equal(before["conv1.weight"], after["conv1.weight"])
        assert torch.equal(before["conv1.bias"], after["conv1.bias"])
        for name in ("bn1.weight", "bn1.bias", "bn1.running_mean", "fc.weight"):
            assert not torch.equal(before[name], after[name]), name
    assert not torch.equal(seen[2]["conv1.weight"], seen[3]["conv1.weight"])
    assert [rate["encoder"] for rate in rates] == pytest.approx([0.1, 0.1, 0.02, 0.04])
    first = seen[1]["bn1.weight"] - seen[0]["bn1.weight"]
    assert 0.05 < first.abs().max() < 0.4  # three steps of Adam at 0.1, not at a fraction of it
    assert all(parameter.requires_grad for parameter in trainer.network.parameters())


def test_batch_norms_cannot_learn_in_a_linear_probe():
    with pytest.raises(ValueError, match="linear probe leaves the encoder as it is"):
        EncoderFreezer(FineTuningSchedule("linear_probe"), frozen_batch_norm="learn")


def test_a_linear_probe_leaves_the_encoder_as_it_was():
    _, rates, seen = _train(protocol="linear_probe")
    assert torch.equal(seen[0]["conv1.weight"], seen[-1]["conv1.weight"])
    assert torch.equal(seen[0]["bn1.running_var"], seen[-1]["bn1.running_var"])
    assert {rate["encoder"] for rate in rates} == {0.0}


def test_full_fine_tuning_changes_everything_in_the_first_epoch():
    _, rates, seen = _train(protocol="full")
    assert not torch.equal(seen[0]["conv1.weight"], seen[1]["conv1.weight"])
    assert rates[0] == {"encoder": 0.1, "head": 0.1}


def test_an_optimiser_without_the_groups_is_refused():
    trainer = classifier_trainer(lambda network: [EncoderFreezer(FineTuningSchedule("gradual"))])
    trainer.optimizer = torch.optim.SGD(trainer.network.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="fine_tuning_groups"):
        trainer.run()


def test_an_unknown_treatment_of_batch_norm_is_refused():
    with pytest.raises(ValueError, match="'eval', 'train' or 'learn'"):
        EncoderFreezer(FineTuningSchedule("gradual"), frozen_batch_norm="frozen")


def test_no_hook_is_left_on_the_network():
    trainer, _, _ = _train(protocol="linear_probe")
    assert isinstance(trainer.network, SmallClassifier)
    assert not trainer.network._forward_pre_hooks
    assert all(isinstance(module, nn.Module) for module in trainer.network.modules())


def test_batch_norms_of_a_decoder_go_on_while_the_encoder_is_frozen():
    encoder = nn.Sequential(nn.Conv2d(1, 8, 1), nn.BatchNorm2d(8))
    network = nn.Sequential(encoder, nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
    schedule = FineTuningSchedule("gradual", head_only_epochs=1)
    groups = fine_tuning_groups(network, learning_rate=0.1, encoder=encoder)
    engine = SimpleNamespace(
        network=network, optimizer=torch.optim.SGD(groups), state=SimpleNamespace(epoch=1, metrics={})
    )
    EncoderFreezer(schedule)._follow(engine)
    network.train()
    network(torch.rand(4, 1, 5, 5))
    assert encoder[1].num_batches_tracked == 0
    assert network[2].num_batches_tracked == 1
