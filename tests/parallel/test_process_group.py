import logging
import os
import socket
from pathlib import Path

import pytest
import torch.distributed
import torch.multiprocessing

from monai_ext.bundle import join_process_group, leave_process_group


def test_without_torchrun_the_error_says_how_to_start(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(RuntimeError, match=r"RANK.*torchrun --nproc_per_node"):
        join_process_group()


def test_leaving_without_a_group_does_nothing():
    leave_process_group()
    assert not torch.distributed.is_initialized()


def _meet(rank: int, folder: str, port: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    logging.getLogger().setLevel(logging.INFO)
    join_process_group()
    total = torch.tensor(float(rank + 1))
    torch.distributed.all_reduce(total)
    leave_process_group()
    Path(folder, str(rank)).write_text(
        f"{total.item()} {logging.getLogger().level} {torch.distributed.is_initialized()}"
    )


def test_processes_meet_on_cpus_and_only_the_first_tells_how_it_goes(tmp_path, free_port):
    torch.multiprocessing.start_processes(_meet, args=(str(tmp_path), free_port), nprocs=2, start_method="fork")
    assert (tmp_path / "0").read_text() == f"3.0 {logging.INFO} False"
    assert (tmp_path / "1").read_text() == f"3.0 {logging.WARNING} False"


@pytest.fixture
def free_port() -> str:
    """A TCP port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
