import torch
from ignite.engine import Events

from monai_ext.engines import PretrainingEvaluator
from monai_ext.inferers import MaskedImageInferer
from monai_ext.networks import SparK, SparKDecoder, build_encoder


def _evaluator(images: torch.Tensor, batch_size: int = 2, **options) -> PretrainingEvaluator:
    torch.manual_seed(0)
    network = SparK(build_encoder("resnet18"), SparKDecoder(32))
    return PretrainingEvaluator(
        "cpu", network=network, val_data_loader=images.split(batch_size), **{"inferer": MaskedImageInferer(), **options}
    )


def _outputs(evaluator: PretrainingEvaluator) -> list[dict]:
    outputs: list[dict] = []
    handle = evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(engine.state.output))
    evaluator.run()
    handle.remove()
    return outputs


def test_every_image_is_reconstructed_once_and_counted():
    images = torch.rand(5, 1, 64, 64)
    outputs = _outputs(_evaluator(images))
    assert [output["first"] for output in outputs] == [0, 2, 4]
    assert torch.equal(torch.cat([output["output"][1] for output in outputs]), images)
    assert all(output["output"][0].shape == output["output"][1].shape for output in outputs)
    assert outputs[0]["output"][2].shape == (2, 1, 2, 2)


def test_a_second_evaluation_has_the_same_masks_and_counts_from_the_start():
    evaluator = _evaluator(torch.rand(3, 1, 64, 64))
    first, second = _outputs(evaluator), _outputs(evaluator)
    for before, after in zip(first, second, strict=True):
        assert before["first"] == after["first"]
        assert torch.equal(before["output"][2], after["output"][2])
        assert torch.equal(before["output"][0], after["output"][0])


def test_another_seed_draws_other_masks():
    images = torch.rand(4, 1, 128, 128)
    visible = [_outputs(_evaluator(images, 4, seed=seed))[0]["output"][2] for seed in (0, 1)]
    assert not torch.equal(*visible)


def test_the_networks_mode_is_put_back():
    evaluator = _evaluator(torch.rand(2, 1, 64, 64))
    evaluator.network.train()
    running_mean = evaluator.network.encoder.bn1.running_mean.clone()
    evaluator.run()
    assert evaluator.network.training
    assert torch.equal(evaluator.network.encoder.bn1.running_mean, running_mean)


def test_low_precision_predicts_in_float32():
    (output,) = _outputs(_evaluator(torch.rand(2, 1, 64, 64), precision="bf16"))
    assert output["output"][0].dtype == torch.float32
