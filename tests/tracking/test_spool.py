from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from monai_ext.tracking.spool import Spool, metric_values


def test_entries_come_back_in_order_and_the_file_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool.jsonl")
    spool.append([("tags", {"a": "1"}), ("metrics", [["loss", 0.5, 7, 1]])])
    spool.append([("end", {"status": "FINISHED"})])
    assert list(spool) == [
        ("tags", {"a": "1"}),
        ("metrics", [["loss", 0.5, 7, 1]]),
        ("end", {"status": "FINISHED"}),
    ]
    assert not spool
    assert not spool.path.exists()


@given(
    first=st.lists(st.tuples(st.sampled_from(["tags", "metrics"]), st.lists(st.text())), min_size=1),
    second=st.lists(st.tuples(st.just("tags"), st.lists(st.text()))),
    stop=st.integers(0, 20),
)
def test_an_interrupted_delivery_goes_on_where_it_stopped(tmp_path_factory, first, second, stop) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool") / "spool.jsonl")
    spool.append(first)
    got = []
    delivery = iter(spool)
    for _ in range(min(stop, len(first))):
        got.append(next(delivery))
    interrupted_at = got[:-1]  # the last one was in hand
    delivery.close()
    spool.append(second)
    assert interrupted_at + spool.waiting() == first + second
    assert interrupted_at + list(spool) == first + second


def test_numbers_that_are_not_finite_survive(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl")
    spool.append([("metrics", [["loss", float("inf"), 0, 1], ["loss", float("nan"), 0, 2]])])
    ((_, points),) = list(spool)
    assert points[0][1] == float("inf")
    assert points[1][1] != points[1][1]


def test_a_line_cut_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl")
    spool.append([("tags", {"a": "1"})])
    with open(spool.path, "ab") as file:
        file.write(b'["metrics", [["loss", 0.')
    spool.append([("tags", {"b": "2"})])
    assert list(spool) == [("tags", {"a": "1"}), ("tags", {"b": "2"})]


def test_the_header_precedes_whatever_comes_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl", header=("open", {"key": "k"}))
    spool.append([("tags", {})])
    assert spool.waiting()[0] == ("open", {"key": "k"})


def test_a_full_spool_refuses_metrics_and_keeps_everything_else(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl", max_bytes=200)
    points = [["loss", 0.5, 1700000000000, 1]] * 10
    assert spool.append([("metrics", points)]) == 0
    assert spool.append([("metrics", points), ("end", {})]) == 10
    assert [kind for kind, _ in spool.waiting()] == ["metrics", "end"]


def test_metric_values_are_counted_singly() -> None:
    assert metric_values([("metrics", [[1], [2]]), ("tags", {"a": "b", "c": "d"}), ("metrics", [[3]])]) == 3
