"""BYOL: each prediction meets the teacher's projection of the other view; the teacher moves by update_teacher alone."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch.nn.functional import normalize

from helpers.contrastive_models import small_method, small_views
from monai_ext.losses import NegativeCosineSimilarity


def test_predictions_are_matched_with_the_teachers_projection_of_the_other_view():
    model, views = small_method("BYOL"), small_views()
    with torch.no_grad():
        for param in model.teacher.parameters():
            param.mul_(1.5)  # another network than the student
    slow = deepcopy(model)
    predictions, targets = model(views)
    for view, other in ((0, 1), (1, 0)):
        expected = slow.prediction(slow.projection(slow.encoder(views[view])))
        torch.testing.assert_close(predictions[view], expected)
        target = slow.teacher.projection(slow.teacher.encoder(views[other]))
        torch.testing.assert_close(targets[view], target)
    assert not torch.allclose(targets[0], targets[1])


def test_the_loss_is_the_papers_worked_out_vector_by_vector():
    model, views = small_method("BYOL"), small_views()
    predictions, targets = model(views)
    squared = [
        (normalize(predictions[view, image], dim=0) - normalize(targets[view, image], dim=0)).square().sum()
        for view in range(2)
        for image in range(4)
    ]
    torch.testing.assert_close(NegativeCosineSimilarity()(predictions, targets), torch.stack(squared).sum() / 4)


def test_the_student_learns_and_the_teacher_gets_no_gradient():
    model = small_method("BYOL")
    NegativeCosineSimilarity()(*model(small_views())).backward()
    assert all(param.grad is None and not param.requires_grad for param in model.teacher.parameters())
    student = [*model.encoder.parameters(), *model.projection.parameters(), *model.prediction.parameters()]
    assert all(param.grad is not None for param in student)


def test_the_teacher_runs_in_training_mode_on_its_own_batch_statistics():
    model, views = small_method("BYOL"), small_views()
    _, targets = model(views)
    norm = model.teacher.encoder[1]
    assert norm.training
    assert norm.num_batches_tracked == 2
    _, evaluated = model.eval()(views)
    assert not torch.allclose(targets, evaluated)


def test_the_teacher_changes_by_update_teacher_alone():
    model = small_method("BYOL")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    before = [param.clone() for param in model.teacher.parameters()]
    NegativeCosineSimilarity()(*model(small_views())).backward()
    optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(model.teacher.parameters(), before, strict=True))
    model.update_teacher(0.75)
    student = [*model.encoder.parameters(), *model.projection.parameters()]
    for param, old, new in zip(model.teacher.parameters(), before, student, strict=True):
        torch.testing.assert_close(param, 0.75 * old + 0.25 * new)
    assert not torch.equal(model.teacher.encoder[0].weight, before[0])


def test_what_is_saved_has_the_names_that_others_read():
    parts = {name.rsplit(".", 1)[0].split(".layers")[0].split(".")[0] for name in small_method("BYOL").state_dict()}
    assert parts == {"encoder", "projection", "prediction", "teacher"}


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_views_is_refused(count):
    with pytest.raises(ValueError, match=f"BYOL takes exactly 2 views of each image; received {count}"):
        small_method("BYOL")(small_views((8,) * count))
