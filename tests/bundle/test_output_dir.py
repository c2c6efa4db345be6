import os
import re
from pathlib import Path

import pytest
import torch.distributed
import torch.multiprocessing
from ignite.engine import Events

from helpers.small_training import small_trainer, small_training
from monai_ext.bundle import prepare_output_dir
from monai_ext.handlers import TrainingCheckpoint
from monai_ext.handlers.checkpoint_files import run_number


def _run_with_checkpoint(runs: Path, name: str) -> Path:
    (runs / name).mkdir(parents=True)
    (runs / name / "checkpoint_00000010.pt").write_bytes(b"")
    return runs / name


def test_a_fresh_run_gets_a_folder_of_its_own_below_models(tmp_path):
    first, second = (Path(prepare_output_dir(str(tmp_path))) for _ in range(2))
    assert first != second
    assert first.is_dir()
    assert first.parent == tmp_path / "models"
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", first.name)


def test_another_parent_holds_the_runs(tmp_path):
    folder = Path(prepare_output_dir(str(tmp_path / "bundle"), parent=str(tmp_path / "scratch")))
    assert folder.parent == tmp_path / "scratch"
    assert not (tmp_path / "bundle").exists()


def test_last_is_the_newest_run_that_has_a_checkpoint(tmp_path):
    _run_with_checkpoint(tmp_path / "models", "20260101T000000Z-ffffff")
    newest = _run_with_checkpoint(tmp_path / "models", "20260301T000000Z-000000")
    (tmp_path / "models" / "20260401T000000Z-111111").mkdir()
    assert prepare_output_dir(str(tmp_path), resume="last") == str(newest)


def test_a_run_is_named_by_its_folder_or_a_checkpoint_in_it(tmp_path):
    run = _run_with_checkpoint(tmp_path, "mine")
    assert prepare_output_dir("unused", resume=str(run)) == str(run)
    assert prepare_output_dir("unused", resume=str(run / "checkpoint_00000010.pt")) == str(run)


@pytest.mark.parametrize(
    ("resume", "message"), [("last", "no folder in .* holds a checkpoint"), ("gone/run", "it does not exist")]
)
def test_nothing_to_resume_is_refused_and_creates_nothing(tmp_path, resume, message):
    with pytest.raises(FileNotFoundError, match=message):
        prepare_output_dir(str(tmp_path), resume=resume)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_checkpoint_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no checkpoint in it"):
        prepare_output_dir(str(tmp_path), resume=str(tmp_path))


def test_a_place_that_cannot_be_written_to_is_refused_with_the_flag_to_use(tmp_path):
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="--output_dir::parent"):
        prepare_output_dir(str(tmp_path))


def test_several_processes_without_a_group_are_sent_to_the_overlay(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="multi_gpu_train"):
        prepare_output_dir(str(tmp_path))
    assert not list(tmp_path.iterdir())


def _choose_folder(rank: int, root: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    torch.distributed.init_process_group("gloo", init_method=f"file://{root}/store", rank=rank, world_size=2)
    Path(root, f"chosen_{rank}").write_text(prepare_output_dir(f"{root}/bundle"))
    torch.distributed.destroy_process_group()


def test_every_process_of_a_distributed_run_gets_the_same_folder(tmp_path):
    torch.multiprocessing.start_processes(_choose_folder, args=(str(tmp_path),), nprocs=2, start_method="fork")
    chosen = {(tmp_path / f"chosen_{rank}").read_text() for rank in range(2)}
    assert len(chosen) == 1
    assert [str(folder) for folder in (tmp_path / "bundle" / "models").iterdir()] == list(chosen)


def test_last_is_the_run_that_started_last_whatever_it_is_called_and_the_clock_says(tmp_path):
    for name in ("20260301T000000Z-aaaaaa", "20250101T000000Z-bbbbbb"):  # the clock was set back in between
        small_training([TrainingCheckpoint(tmp_path / "models" / name)], max_epochs=1)
    os.utime(tmp_path / "models" / "20250101T000000Z-bbbbbb", (0, 0))
    assert prepare_output_dir(str(tmp_path), resume="last").endswith("20250101T000000Z-bbbbbb")


def test_a_run_keeps_its_place_in_the_order_when_it_is_resumed(tmp_path):
    models = tmp_path / "models"
    for name in ("first", "another"):
        small_training([TrainingCheckpoint(models / name)], max_epochs=1)
    small_training([TrainingCheckpoint(models / "first", resume=models / "first")], max_epochs=2)
    small_training([TrainingCheckpoint(models / "a_third")], max_epochs=1)
    assert [run_number(models / name) for name in ("first", "another", "a_third")] == [1, 2, 3]


def test_a_run_without_a_checkpoint_yet_counts_while_it_trains(tmp_path):
    trainer = small_trainer([TrainingCheckpoint(tmp_path / "first")], max_epochs=1)
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED(once=1),
        lambda: small_training([TrainingCheckpoint(tmp_path / "second")], max_epochs=1),
    )
    trainer.run()
    assert [run_number(tmp_path / name) for name in ("first", "second")] == [1, 2]


def test_a_damaged_checkpoint_does_not_hide_which_run_is_the_last(tmp_path):
    for name in ("b", "a"):
        small_training([TrainingCheckpoint(tmp_path / "models" / name)], max_epochs=2)
    (tmp_path / "models" / "a" / "checkpoint_00000006.pt").write_bytes(b"PK")
    assert prepare_output_dir(str(tmp_path), resume="last").endswith("/a")
