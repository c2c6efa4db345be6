"""What a site may answer: chosen numbers, and errors without what stands in them."""

import errno

from monai_ext.errors import DatasetError
from monai_ext.federated.answer import failed, shared_metrics


def test_only_named_finite_numbers_are_shared():
    metrics = {"val_loss": 0.5, "auc": float("nan"), "knn_accuracy/Zqx7": 0.9, "Zqx7": 1, "loss": 2}
    assert shared_metrics(metrics) == {"loss": 2.0, "val_loss": 0.5}


def test_no_planted_name_is_in_what_is_told_of_an_error():
    place = "/data/Zqx7^Jane/1.dcm"
    wrapped = RuntimeError(f"Failed to instantiate component with {place}")
    wrapped.__cause__ = DatasetError("The picture {file} is damaged.", file=place)
    errors = [
        wrapped,
        ValueError(f"reading {place}"),
        FileNotFoundError(errno.ENOENT, f"no {place}", place),
        KeyError(place),
        DatasetError(f"{place} is damaged"),
    ]
    texts = [failed(error).failure for error in errors]
    assert not [text for text in texts if "Zqx7" in text]
    assert texts[0] == "DatasetError: The picture <file> is damaged."
    assert texts[2] == "FileNotFoundError: No such file or directory"
