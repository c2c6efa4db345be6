"""Names of patients, planted in folders, files and errors, are searched in everything that tracking writes."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from helpers.small_training import small_images, small_trainer
from monai_ext.errors import DatasetError, TrainingStoppedError
from monai_ext.tracking import MLflowTracker

MARK = "Zqx7"
PLACES = (
    "Zqx7 Jane (1950)/ct 1.dcm", "ZQX7^JANE", "O'Zqx7/slice", "Łoś-Zqx7/Müller", "Доу Zqx7.png", "Zqx7 has no suffix",
    "Zqx7", "a:Zqx7", '"Zqx7"/x',
)  # fmt: skip


def errors_of(place: str) -> list[BaseException]:
    """What may end a training and has the place in its text."""
    return [
        ValueError(f"reading {place}: truncated"),
        FileNotFoundError(errno.ENOENT, f"no {place}", place),
        OSError(f"{place} is damaged"),
        DatasetError(f"The picture {place} is damaged."),
        DatasetError("The picture {file} is damaged: {reason}.", file=place, reason=ValueError(place)),
        TrainingStoppedError("{file} was not written ({reason}).", file=place, reason=OSError(errno.ENOSPC, place)),
        KeyError(place),
        UnicodeDecodeError("utf-8", place.encode(), 0, 1, place),
    ]


def stop_with(error: BaseException) -> Callable[[Engine], None]:
    def stop(engine: Engine) -> None:
        raise error

    return stop


def written(root: Path) -> dict[str, bytes]:
    """Every file below a folder; and the names of all, as one."""
    files = [path for path in root.rglob("*") if path.is_file()]
    listed = "\n".join(str(path.relative_to(root)) for path in files)
    return {str(path): path.read_bytes() for path in files} | {"names": listed.encode()}


def test_no_planted_name_is_in_what_tracking_writes(
    train: Callable[..., Engine], repository_folder: Path, tmp_path: Path
) -> None:
    for number, place in enumerate(PLACES):
        error = errors_of(place)[number % len(errors_of(place))]
        with pytest.raises(type(error)):
            train(tracker_with(place, tmp_path), on_iteration=stop_with(error))
    for name, content in written(repository_folder).items():
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            assert MARK.encode(encoding).lower() not in content.lower(), name


def tracker_with(place: str, folder: Path) -> MLflowTracker:
    """A tracker to whom the place is told in every way there is."""

    class Images:
        fingerprint = "0123"

        def describe(self) -> dict[str, Any]:
            return {"kind": "pictures", "source": place, "largest": f"/data/{place}"}

    config = {
        "dataset_dir": place, "labelled_dirs": [{"path": place}, place], "splits": place, "data": "@dataset_dir",
        "table": f"/data/{place}", "read": f"$open('/data/{place.replace(chr(39), '')}')",
        "output_dir": {"_target_": "x.y", "parent": place},
    }  # fmt: skip
    return MLflowTracker(
        "tiny",
        parameters={"splits": place, "lineage": {"pretrained": place}, "where": f"/data/{place}"},
        config=config,
        datasets={"training": Images()},
        output_dir=str(folder / place / "out"),
    )


def test_of_what_was_removed_the_rest_can_still_be_read(client: Any, train: Callable[..., Engine]) -> None:
    error = TrainingStoppedError("{file} was not written ({reason}).", file="/x", reason=OSError(errno.ENOSPC, "full"))
    with pytest.raises(TrainingStoppedError):
        train(MLflowTracker("tiny"), on_iteration=stop_with(error))
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    stored = "TrainingStoppedError: <file> was not written (No space left on device)."
    assert run.data.tags["monai_ext.error"] == stored


class Damaged(list):  # type: ignore[type-arg]
    """Images of which one cannot be read, as the process that reads them finds out."""

    def __getitem__(self, index: Any) -> Any:
        if index == 7 and torch.utils.data.get_worker_info() is not None:
            place = "Zqx7 Jane/ct 1.dcm"
            raise DatasetError("The picture {file} is damaged: {reason}.", file=place, reason=OSError(errno.EIO, place))
        return super().__getitem__(index)


def test_an_error_of_a_process_that_reads_is_whole_here_and_elsewhere_without_names(
    client: Any, repository_folder: Path
) -> None:
    trainer = small_trainer([MLflowTracker("tiny")], images=Damaged(small_images()), num_workers=1)
    with pytest.raises(DatasetError, match=r"^The picture Zqx7 Jane/ct 1\.dcm is damaged: Zqx7 Jane/ct 1\.dcm\.$"):
        trainer.run()
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.data.tags["monai_ext.error"] == "DatasetError: The picture <file> is damaged: Input/output error."
    assert run.info.status == "FAILED"
    assert not [name for name, content in written(repository_folder).items() if MARK.encode() in content]
