"""SwAV: multi-crop in order, assignments from global views alone, and a queue that helps once it is full."""

from __future__ import annotations

import pytest
import torch

from helpers.contrastive_models import LENGTH, small_encoder, small_head, small_method, small_views
from monai_ext.losses import SwappedAssignmentLoss
from monai_ext.networks import Prototypes, SwAV, sinkhorn_assignments
from monai_ext.networks.heads import unit_length

MULTI_CROP = (8, 8, 4, 4, 4)


def test_every_view_is_scored_in_its_order_and_only_the_global_ones_are_assigned():
    model = small_method("SwAV", torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())).eval()
    views = small_views(MULTI_CROP)
    scores, assignments = model(views)
    assert (len(scores), len(assignments)) == (5, 2)
    for view, score in zip(views, scores, strict=True):
        torch.testing.assert_close(score, model.prototypes(model.embed(view)))
    for score, assignment in zip(scores, assignments, strict=False):
        torch.testing.assert_close(assignment, sinkhorn_assignments(score.detach()))


def test_views_of_one_size_pass_the_encoder_together():
    model, passes = small_method("SwAV"), []
    model.encoder.register_forward_pre_hook(lambda _, inputs: passes.append(tuple(inputs[0].shape)))
    model(small_views(MULTI_CROP))
    assert passes == [(8, 1, 8, 8), (12, 1, 4, 4)]


def test_the_encoder_runs_once_a_size_and_the_projection_once_over_all_views():
    model, slow = small_method("SwAV"), small_method("SwAV")
    views, projected = small_views(MULTI_CROP), []
    model.projection.register_forward_pre_hook(lambda _, inputs: projected.append(len(inputs[0])))
    scores, _ = model(views)
    features = torch.cat([slow.encoder(torch.cat(views[:2])), slow.encoder(torch.cat(views[2:]))])
    expected = unit_length(slow.projection(features)) @ slow.prototypes.weight.T
    torch.testing.assert_close(torch.cat(scores), expected)
    assert projected == [20]  # five views of four images share the head's batch statistics


def test_loss_and_gradients_are_those_of_one_projection_and_not_of_one_a_size():
    views, loss_function = small_views(MULTI_CROP), SwappedAssignmentLoss()

    def gradient(joint: bool) -> tuple[float, torch.Tensor]:
        model = small_method("SwAV")
        if not joint:  # what a projection a size would give
            runs = [model.embed(torch.cat(views[:2])).chunk(2), model.embed(torch.cat(views[2:])).chunk(3)]
            scores = [model.prototypes(embedding) for run in runs for embedding in run]
            assignments = [sinkhorn_assignments(score.detach()) for score in scores[:2]]
        else:
            scores, assignments = model(views)
        loss = loss_function(scores, assignments)
        loss.backward()
        return loss.item(), torch.cat([param.grad.flatten() for param in model.parameters()])

    (joint, joint_gradient), (apart, apart_gradient) = gradient(True), gradient(False)
    assert abs(joint - apart) > 1e-3
    assert torch.cosine_similarity(joint_gradient, apart_gradient, dim=0) < 0.99


def test_local_views_are_not_assigned_and_change_assignments_by_batch_statistics_alone():
    first, second = small_views(MULTI_CROP, seed=1), small_views(MULTI_CROP, seed=2)
    _, expected = small_method("SwAV").eval()(first)
    scores, assignments = small_method("SwAV").eval()(first[:2] + second[2:])
    assert all(torch.equal(*pair) for pair in zip(assignments, expected, strict=True))
    assert not torch.allclose(scores[2], small_method("SwAV").eval()(first)[0][2])


def test_the_number_of_global_views_is_chosen():
    scores, assignments = small_method("SwAV", global_views=3)(small_views((8, 8, 8, 4)))
    assert (len(scores), len(assignments)) == (4, 3)


def test_each_queue_is_prepended_once_it_is_full_and_filled_after_use():
    model, seen = small_method("SwAV", queue_size=8), []
    for iteration in range(4):
        views = small_views(seed=iteration)
        before = [queue.embeddings.clone() for queue in model.queues]
        scores, assignments = model(views)
        for view in range(2):
            own = scores[view].detach()
            with torch.no_grad():
                joint = torch.cat([model.prototypes(before[view]), own])
            expected = sinkhorn_assignments(joint)[-4:] if iteration >= 2 else sinkhorn_assignments(own)
            torch.testing.assert_close(assignments[view], expected)
            half = slice(4 * (iteration % 2), 4 * (iteration % 2) + 4)
            torch.testing.assert_close(model.prototypes(model.queues[view].embeddings[half]), own.detach())
        seen.append([queue.is_full for queue in model.queues])
    assert seen == [[False, False], [True, True], [True, True], [True, True]]
    assert not torch.allclose(model.queues[0].embeddings, model.queues[1].embeddings)


def test_queues_that_have_not_started_are_neither_used_nor_filled():
    model, without = small_method("SwAV", queue_size=4), small_method("SwAV")
    model.queue_started = False
    for seed in range(3):
        assigned, expected = model(small_views(seed=seed))[1], without(small_views(seed=seed))[1]
        assert all(torch.equal(*pair) for pair in zip(assigned, expected, strict=True))
    assert int(model.queues[0].written) == 0
    model.queue_started = True
    model(small_views(seed=8))
    assert model.queues[0].is_full


def test_evaluation_assigns_without_the_queue():
    model = small_method("SwAV", queue_size=4)
    for seed in range(3):
        model(small_views(seed=seed))
    scores, assignments = model.eval()(small_views(seed=9))
    torch.testing.assert_close(assignments[0], sinkhorn_assignments(scores[0].detach()))


def test_prototypes_have_unit_length_from_the_start_of_a_training_iteration_on():
    model, views = small_method("SwAV"), small_views()
    expected, _ = model(views)
    with torch.no_grad():
        model.prototypes.weight.mul_(3.0)
    scores, _ = model(views)
    torch.testing.assert_close(model.prototypes.weight.norm(dim=1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(scores[0], expected[0])


def test_gradients_reach_encoder_and_prototypes_and_none_flows_through_assignments():
    model = small_method("SwAV", queue_size=4)
    model(small_views(seed=0))
    scores, assignments = model(small_views(MULTI_CROP))
    assert not any(assignment.requires_grad for assignment in assignments)
    SwappedAssignmentLoss()(scores, assignments).backward()
    assert all(param.grad is not None for param in model.parameters())


def test_a_saved_method_goes_on_with_the_same_queues():
    first, second = small_method("SwAV", queue_size=6), small_method("SwAV", queue_size=6)
    for seed in range(2):
        first(small_views(seed=seed))
    second.load_state_dict(first.state_dict())
    (_, expected), (_, assignments) = (model(small_views(seed=5)) for model in (first, second))
    assert torch.equal(assignments[0], expected[0])
    assert torch.equal(assignments[1], expected[1])
    assert int(second.queues[1].pointer) == 0
    assert int(second.queues[1].written) == 12


def test_more_prototypes_than_samples_are_refused_without_a_queue_that_makes_up_for_them():
    with pytest.raises(
        ValueError, match=r"5 prototypes equally among 4 images and a queue of 0.*queue_size of at least 1"
    ):
        small_method("SwAV", count=5)(small_views())
    model = small_method("SwAV", count=5, queue_size=4)
    for seed in range(3):
        _, assignments = model(small_views(seed=seed))
    assert all(assignment.isfinite().all() for assignment in assignments)
    torch.testing.assert_close(assignments[0].sum(dim=1), torch.ones(4, dtype=torch.float64))


def test_evaluation_takes_batches_smaller_than_the_number_of_prototypes():
    _, assignments = small_method("SwAV", count=5).eval()(small_views(batch=1))
    torch.testing.assert_close(assignments[0], torch.full((1, 5), 0.2, dtype=torch.float64))


def test_embeddings_are_compared_by_direction():
    model, views = small_method("SwAV"), small_views()
    scores, _ = model(views)
    assert max(score.abs().max() for score in scores) <= 1 + 1e-12
    assert torch.equal(model.eval().embed(views[0]), unit_length(model.projection(model.encoder(views[0]))))


def test_too_few_views_are_refused():
    with pytest.raises(ValueError, match="SwAV takes at least 2 views of each image; received 1"):
        small_method("SwAV", global_views=1)(small_views((8,)))
    with pytest.raises(ValueError, match="SwAV takes at least 3 views of each image; received 2"):
        small_method("SwAV", global_views=3)(small_views())


@pytest.mark.parametrize("options", [{"global_views": 0}, {"queue_size": -1}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="at least 1 global view and a queue_size of 0 or more; received"):
        small_method("SwAV", **options)


def test_prototypes_of_another_length_than_the_projection_are_refused():
    with pytest.raises(ValueError, match=f"prototypes have length 9, the projection {LENGTH}; they must agree"):
        SwAV(small_encoder(), projection=small_head(), prototypes=Prototypes(3, features=9))


def test_a_queue_that_processes_cannot_share_equally_is_refused(monkeypatch):
    monkeypatch.setattr("monai_ext.networks.swav.process_count", lambda: 2)
    with pytest.raises(ValueError, match="2 processes take equal parts of the queue, not of 5"):
        small_method("SwAV", queue_size=5)
