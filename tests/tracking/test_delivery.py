from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ext.tracking import delivery as module
from monai_ext.tracking.delivery import Delivery, Spool, metric_values
from monai_ext.tracking.operations import Artifact, EndRun, Metrics, OpenRun, Operation, RefusedOperation, Tags
from monai_ext.tracking.store import StoreUnreachable

SAID = "does not answer"
END = EndRun("FINISHED", time=0)
OPENING = OpenRun("sqlite:///x.db", "tiny", None, "", "k", 0, {})
NAMES = st.dictionaries(st.text(), st.text())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.005)
    monkeypatch.setattr(module, "FIRST_RETRY_SECONDS", 0.005)
    monkeypatch.setattr(module, "LAST_RETRY_SECONDS", 0.02)
    caplog.set_level(logging.INFO, logger="monai_ext.tracking")


class Store:
    """Takes operations, or is away, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.got: list[Operation] = []
        self.away = False
        self.asked = threading.Semaphore(0)
        self.refuses: set[str] = set()
        self.not_taking: set[str] = set()

    def write(self, operation: Operation) -> None:
        self.asked.release()
        if self.away or operation.kind in self.not_taking:
            raise StoreUnreachable("connection refused")
        if operation.kind in self.refuses:
            raise RefusedOperation("it is malformed")
        self.got.append(operation)

    def points(self) -> list:
        return [point for operation in self.got if isinstance(operation, Metrics) for point in operation.points]

    def wait_until_taken(self, count: int) -> None:
        while len(self.points()) < count:
            self.wait_for_requests(1)

    def wait_for_requests(self, count: int) -> None:
        for _ in range(count):
            assert self.asked.acquire(timeout=10)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def make(tmp_path: Path, store: Store) -> Iterator[Callable[..., Delivery]]:
    def start(write: Callable[[Operation], None] = store.write, **settings) -> Delivery:
        delivery = Delivery(write, spool=Spool(tmp_path / "spool.jsonl"), store_name="the store", **settings)
        delivery.start()
        return delivery

    return start


def point(step: int) -> Metrics:
    return Metrics([["loss", 0.5, 0, step]])


def test_everything_arrives_in_order(make, store: Store) -> None:
    delivery = make()
    delivery.put(Tags({"a": "1"}))
    for step in range(2500):
        delivery.put(point(step))
    delivery.put(END)
    delivery.close(timeout=10)
    assert [p[3] for p in store.points()] == list(range(2500))
    assert store.got[0] == Tags({"a": "1"})
    assert store.got[-1] == END


def test_neighbouring_metrics_travel_together_up_to_a_thousand(make, store: Store) -> None:
    delivery = Delivery(store.write, spool=Spool(Path("unused")), store_name="")
    for step in range(2500):
        delivery.put(point(step))
    delivery.start()
    delivery.close(timeout=10)
    assert [metric_values([operation]) for operation in store.got] == [1000, 1000, 500]


def test_operations_are_written_in_the_background(make) -> None:
    done_in: list[str] = []
    delivery = make(lambda operation: done_in.append(threading.current_thread().name))
    delivery.put(point(1))
    delivery.close(timeout=10)
    assert done_in == ["monai_ext-tracking"]


def test_polled_entries_are_delivered_as_well(make, store: Store) -> None:
    delivery = make(poll=lambda: [Tags({"polled": "yes"})])
    delivery.close(timeout=10)
    assert Tags({"polled": "yes"}) in store.got


def test_an_outage_is_said_once_and_nothing_is_lost(make, store: Store, caplog) -> None:
    delivery = make()
    delivery.put(point(1))
    store.wait_for_requests(1)
    store.away = True
    delivery.put(point(2))
    delivery.put(Tags({}))
    store.wait_for_requests(5)
    delivery.put(point(3))
    store.away = False
    delivery.put(point(4))
    delivery.close(timeout=10)
    assert [p[3] for p in store.points()] == [1, 2, 3, 4]
    assert sum(SAID in message for message in caplog.messages) == 1
    assert not delivery.spool


def test_a_second_outage_is_no_warning_any_more(make, store: Store, caplog) -> None:
    delivery = make()
    for step in range(2):
        store.away = True
        delivery.put(point(step))
        store.wait_for_requests(3)
        store.away = False
        store.wait_until_taken(step + 1)
    delivery.close(timeout=10)
    levels = [record.levelname for record in caplog.records if SAID in record.message]
    assert levels == ["WARNING", "INFO"]


def test_what_could_not_be_delivered_is_told_with_its_place(make, store: Store, caplog, tmp_path: Path) -> None:
    store.away = True
    delivery = make()
    delivery.put(point(1))
    delivery.put(point(2))
    delivery.put(END)
    delivery.close(timeout=10)
    last = caplog.messages[-1]
    assert "2 metric values and 1 other entries" in last
    assert str(tmp_path / "spool.jsonl") in last
    assert metric_values(delivery.spool.waiting()) == 2


def test_what_a_former_process_left_is_delivered_first(make, store: Store, tmp_path: Path) -> None:
    Spool(tmp_path / "spool.jsonl").append([point(1)])
    delivery = make()
    delivery.put(point(2))
    delivery.close(timeout=10)
    assert [p[3] for p in store.points()] == [1, 2]


def test_an_entry_that_is_refused_does_not_hold_up_the_others(make, store: Store, caplog) -> None:
    store.refuses = {"tags"}
    delivery = make()
    delivery.put(Tags({}))
    delivery.put(Tags({}))
    delivery.put(point(1))
    delivery.close(timeout=10)
    assert store.points() == [["loss", 0.5, 0, 1]]
    assert sum("it is malformed" in message for message in caplog.messages) == 1


def test_a_file_that_is_not_taken_waits_without_holding_up_metrics(make, store: Store) -> None:
    store.not_taking = {"artifact"}
    delivery = make()
    delivery.put(Artifact("x"))
    delivery.put(point(1))
    store.wait_for_requests(4)
    store.not_taking = set()
    delivery.close(timeout=10)
    assert sorted(operation.kind for operation in store.got) == ["artifact", "metrics"]


def test_a_store_that_hangs_does_not_hold_up_the_end(make, caplog) -> None:
    hanging = threading.Event()
    delivery = make(lambda operation: (hanging.wait(30), None)[1])
    delivery.put(point(1))
    delivery.close(timeout=0.05)
    assert delivery.spool.waiting() == [point(1)]
    hanging.set()


def test_beyond_its_capacity_the_queue_drops_metrics_instead_of_growing_and_keeps_the_rest(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "QUEUE_LENGTH", 3)
    delivery = Delivery(store.write, spool=Spool(tmp_path / "spool.jsonl"), store_name="")
    for step in range(5):
        delivery.put(point(step))
    delivery.put(END)
    delivery.start()
    delivery.close(timeout=10)
    assert len(store.points()) == 3
    assert store.got[-1] == END
    assert "2 metric values of this run were lost" in caplog.messages[-1]


def test_a_spool_that_cannot_be_written_is_said_and_training_goes_on(store: Store, caplog, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store.away = True
    delivery = Delivery(store.write, spool=Spool(tmp_path / "file" / "spool.jsonl"), store_name="")
    delivery.put(point(1))
    delivery.start()
    delivery.close(timeout=10)
    assert any("cannot be written" in message for message in caplog.messages)
    assert "1 metric values of this run were lost" in caplog.messages[-1]


def test_operations_come_back_in_order_and_the_file_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool.jsonl")
    spool.append([Tags({"a": "1"}), point(1)])
    spool.append([END])
    assert list(spool) == [Tags({"a": "1"}), point(1), END]
    assert not spool
    assert not spool.path.exists()


@given(
    first=st.lists(
        st.builds(Tags, NAMES)
        | st.builds(Metrics, st.lists(st.builds(lambda step: point(step).points[0], st.integers()))),
        min_size=1,
    ),
    second=st.lists(st.builds(Tags, NAMES)),
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
    spool.append([Metrics([["loss", float("inf"), 0, 1], ["loss", float("nan"), 0, 2]])])
    (metrics,) = list(spool)
    points = metrics.content
    assert points[0][1] == float("inf")
    assert points[1][1] != points[1][1]


def test_a_line_cut_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl")
    spool.append([Tags({"a": "1"})])
    with open(spool.path, "ab") as file:
        file.write(b'["metrics", [["loss", 0.')
    spool.append([Tags({"b": "2"})])
    assert list(spool) == [Tags({"a": "1"}), Tags({"b": "2"})]


def test_the_header_precedes_whatever_comes_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl", header=lambda: OPENING)
    spool.append([Tags({})])
    assert spool.waiting()[0] == OPENING


def test_a_full_spool_refuses_metrics_and_keeps_everything_else(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl", max_bytes=200)
    metrics = Metrics([["loss", 0.5, 1700000000000, 1]] * 10)
    assert spool.append([metrics]) == 0
    assert spool.append([metrics, END]) == 10
    assert [operation.kind for operation in spool.waiting()] == ["metrics", "end"]


def test_metric_values_are_counted_singly() -> None:
    assert metric_values([Metrics([[1], [2]]), Tags({"a": "b", "c": "d"}), Metrics([[3]])]) == 3
