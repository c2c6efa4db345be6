"""MoCo: keys belong to their queries, come from a shuffled batch, and are negatives only in later iterations."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from helpers.contrastive_models import LENGTH, plain_encoder, small_encoder, small_head, small_method, small_views
from monai_ext.data import StreamSampler, slice_loader
from monai_ext.engines import PretrainingTrainer, TrainingLength
from monai_ext.inferers import MultiViewInferer
from monai_ext.losses import InfoNCELoss
from monai_ext.networks import MoCo, MomentumQueue, fitting_queue_size, split_batch_norm
from monai_ext.networks.heads import unit_length


def test_queries_and_keys_are_those_of_each_image_on_its_own():
    model, views = small_method("MoCo", plain_encoder()), small_views()
    with torch.no_grad():
        for param in model.teacher.parameters():
            param.mul_(1.5)
    queries, keys, _ = model(views)
    for image in range(4):
        first, second = (view[image : image + 1] for view in views)
        torch.testing.assert_close(queries[image : image + 1], unit_length(model.projection(model.encoder(first))))
        torch.testing.assert_close(keys[image : image + 1], unit_length(model.teacher(second)))


def test_keys_are_enqueued_after_use():
    model = small_method("MoCo", queue=6)
    before = model.queue.embeddings.clone()
    _, first_keys, negatives = model(small_views(seed=1))
    assert torch.equal(negatives, before)
    _, second_keys, negatives = model(small_views(seed=2))
    assert torch.equal(negatives, torch.cat([first_keys, before[4:]]))
    held = torch.cat([second_keys[2:], first_keys[2:], second_keys[:2]])  # 4 + 4 keys in 6 places
    assert torch.equal(model.queue.embeddings, held)
    assert int(model.queue.pointer) == 2


def test_negatives_stay_as_they_were_used_while_the_queue_moves_on():
    model = small_method("MoCo")
    _, _, negatives = model(small_views(seed=1))
    used = negatives.clone()
    model(small_views(seed=2))
    assert torch.equal(negatives, used)


def test_evaluation_leaves_the_queue_and_the_random_stream_alone():
    model = small_method("MoCo").eval()
    before, state = model.queue.embeddings.clone(), torch.get_rng_state()
    _, _, negatives = model(small_views())
    assert torch.equal(negatives, before)
    assert torch.equal(model.queue.embeddings, before)
    assert int(model.queue.written) == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_the_key_encoder_sees_the_images_in_the_order_that_was_drawn():
    model, views, seen = small_method("MoCo"), small_views(batch=8), []
    model = MoCo(small_encoder(), projection=small_head(), queue=MomentumQueue(8, features=LENGTH)).double()
    model.teacher.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(5)
    model(views)
    torch.manual_seed(5)
    order = torch.randperm(8)
    assert order.tolist() != list(range(8))
    assert torch.equal(seen[0], views[1][order])


def test_statistics_of_groups_are_those_of_the_shuffled_batch_and_keys_come_back_in_order():
    model, views = small_method("MoCo", split_batch_norm(small_encoder(), groups=2)), small_views(batch=8)
    model.queue = MomentumQueue(8, features=LENGTH).double()
    slow = deepcopy(model.teacher)
    torch.manual_seed(5)
    _, keys, _ = model(views)
    torch.manual_seed(5)
    order = torch.randperm(8).tolist()
    shuffled = unit_length(slow(views[1][order]))
    for place, image in enumerate(order):
        torch.testing.assert_close(keys[image], shuffled[place])


def test_images_keep_their_memory_format_through_the_shuffle():
    model, formats = small_method("MoCo", small_encoder(channels=2)), []
    views = [view.to(memory_format=torch.channels_last) for view in small_views(channels=2)]
    model.teacher.encoder.register_forward_pre_hook(
        lambda _, inputs: formats.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    model(views)
    assert formats == [True]


def test_gradients_flow_to_the_queries_alone():
    model = small_method("MoCo")
    queries, keys, negatives = model(small_views())
    assert (queries.requires_grad, keys.requires_grad, negatives.requires_grad) == (True, False, False)
    InfoNCELoss()(queries, keys, negatives).backward()
    assert all(param.grad is None for param in model.teacher.parameters())
    assert all(param.grad is not None for param in (*model.encoder.parameters(), *model.projection.parameters()))


def test_the_key_encoder_changes_by_update_teacher_alone():
    model = small_method("MoCo")
    before = [param.clone() for param in model.teacher.parameters()]
    with torch.no_grad():
        for param in (*model.encoder.parameters(), *model.projection.parameters()):
            param.add_(1.0)
    model(small_views())
    assert all(torch.equal(*pair) for pair in zip(model.teacher.parameters(), before, strict=True))
    model.update_teacher(0.9)
    for param, old in zip(model.teacher.parameters(), before, strict=True):
        torch.testing.assert_close(param, old + 0.1)


def test_a_saved_method_goes_on_with_the_same_queue():
    first, second = small_method("MoCo"), small_method("MoCo")
    first(small_views(seed=1))
    second.load_state_dict(first.state_dict())
    for model in (first, second):
        torch.manual_seed(3)
        model(small_views(seed=2))
    assert torch.equal(first.queue.embeddings, second.queue.embeddings)
    assert int(first.queue.pointer) == int(second.queue.pointer) == 2


def test_own_earlier_keys_are_marked_by_their_samples_wherever_they_are_in_the_queue():
    model = small_method("MoCo", queue=6)
    *_, own = model(small_views(seed=1), torch.tensor([3, 1, 4, 2]))
    assert not own.any()
    *_, own = model(small_views(seed=2), torch.tensor([5, 4, 3, 9]))
    places = {(1, 2), (2, 0)}  # of 3, 1, 4, 2 and two random directions
    assert {tuple(place) for place in own.nonzero().tolist()} == places
    *_, own = model(small_views(seed=3), torch.tensor([9, 4, 1, 2]))
    assert own.sum(dim=1).tolist() == [1, 2, 0, 1]  # the queue holds 3, 9, 4, 2, 5, 4


def test_a_query_is_not_pushed_away_from_its_images_earlier_keys():
    model, views = small_method("MoCo", plain_encoder(), queue=4), small_views()
    model(views, torch.arange(4))
    loss = InfoNCELoss()
    queries, keys, negatives, own = model(views, torch.arange(4))
    assert own.tolist() == torch.eye(4, dtype=torch.bool).tolist()
    expected = sum(loss(q[None], k[None], negatives[~mine]) for q, k, mine in zip(queries, keys, own, strict=True)) / 4
    torch.testing.assert_close(loss(queries, keys, negatives, own), expected)
    assert loss(queries, keys, negatives) > expected + 1e-3


@pytest.mark.parametrize("loaded", ["with its stream", "with ids in the batch"])
def test_no_query_of_a_training_has_an_earlier_key_of_its_image_among_its_negatives(loaded):
    """Frozen networks and equal views: a negative equals the query if and only if it is of the same image."""
    samples = list(torch.rand(23, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    loader = slice_loader(samples, batch_size=4, sampler=StreamSampler(samples, seed=1), num_workers=0)
    if loaded == "with ids in the batch":
        loader = [{"image": batch, "sample_id": loader.sample_ids} for batch, _ in zip(loader, range(40), strict=False)]
    had_own = []

    def look(queries, keys, negatives, own):
        same = torch.isclose(queries[:, None], negatives[None], atol=1e-12).all(dim=2)
        assert torch.equal(own, same)
        had_own.extend(same.any(dim=1).tolist())
        return InfoNCELoss()(queries, keys, negatives, own)

    model = small_method("MoCo", plain_encoder(), queue=fitting_queue_size(65536, samples=23, batch_size=4))
    PretrainingTrainer(
        "cpu",
        network=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.0),
        loss_function=look,
        train_data_loader=loader,
        length=TrainingLength(23, batch_size=4, images_seen=160),
        views=lambda images: [images, images],
        inferer=MultiViewInferer(),
        accumulation_steps=2,
    ).run()
    assert sum(had_own) / len(had_own) > 0.3  # an order of its own in each pass: half a pass apart, on average


def test_a_training_whose_samples_are_unknown_says_so(caplog):
    model = small_method("MoCo")
    PretrainingTrainer(
        "cpu",
        network=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        loss_function=InfoNCELoss(),
        train_data_loader=[small_views()[0]] * 3,
        length=TrainingLength(12, batch_size=4, epochs=1),
        views=lambda images: [images, images],
        inferer=MultiViewInferer(),
    ).run()
    assert caplog.text.count("MoCo is trained without knowing which sample an image is") == 1


def test_evaluation_compares_no_ids_unless_they_are_given():
    model = small_method("MoCo")
    model(small_views(), torch.arange(4))
    assert len(model.eval()(small_views())) == 3


def test_a_saved_method_remembers_whose_keys_it_holds():
    first, second = small_method("MoCo"), small_method("MoCo")
    first(small_views(seed=1), torch.tensor([8, 7, 6, 5]))
    second.load_state_dict(first.state_dict())
    *_, own = second(small_views(seed=2), torch.tensor([5, 6, 1, 2]))
    assert own.nonzero().tolist() == [[0, 3], [1, 2]]


def test_a_batch_larger_than_the_queue_is_refused():
    with pytest.raises(ValueError, match=r"queue of 3 embeddings.*larger queue or a smaller batch"):
        small_method("MoCo", queue=3)(small_views())


def test_a_queue_of_another_length_than_the_projection_is_refused():
    with pytest.raises(ValueError, match="keys of length 5, the projection gives 3; they must agree"):
        MoCo(small_encoder(), projection=small_head(), queue=MomentumQueue(4, features=5))


def test_three_views_are_refused():
    with pytest.raises(ValueError, match="MoCo takes exactly 2 views of each image; received 3"):
        small_method("MoCo")(small_views((8, 8, 8)))
