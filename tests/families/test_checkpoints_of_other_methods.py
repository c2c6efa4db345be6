"""A checkpoint is continued by the method that wrote it, and refused by every other."""

from __future__ import annotations

from itertools import permutations

import pytest

from helpers.methods import BATCH, METHODS, trainer_for
from monai_ext.errors import CheckpointError
from monai_ext.handlers import TrainingCheckpoint


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A checkpoint of one iteration of each method."""
    folders = {name: tmp_path_factory.mktemp(name) for name in METHODS}
    for name, folder in folders.items():
        trainer_for(name, [TrainingCheckpoint(folder, best_metric=None)], images_seen=BATCH).run()
    return folders


@pytest.mark.parametrize(("written_by", "resumed_by"), permutations(METHODS, 2))
def test_a_checkpoint_of_another_method_is_refused(written_by, resumed_by, checkpoints, tmp_path):
    resume = TrainingCheckpoint(tmp_path, best_metric=None, resume=checkpoints[written_by])
    first, second = (type(METHODS[name].network()).__name__ for name in (written_by, resumed_by))
    sentence = f"is of the method {first}, but this training is of {second}: resume it with the bundle that wrote it"
    with pytest.raises(CheckpointError, match=sentence):
        trainer_for(resumed_by, [resume]).run()
