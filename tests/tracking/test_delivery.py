from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monai_ext.tracking import delivery as module
from monai_ext.tracking.delivery import Delivery, RefusedEntry, StoreUnreachable
from monai_ext.tracking.spool import Entry, Spool

SAID = "does not answer"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.005)
    monkeypatch.setattr(module, "FIRST_RETRY_SECONDS", 0.005)
    monkeypatch.setattr(module, "LAST_RETRY_SECONDS", 0.02)
    caplog.set_level(logging.INFO, logger="monai_ext.tracking")


class Store:
    """Takes entries, or is away, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.got: list[Entry] = []
        self.away = False
        self.asked = threading.Semaphore(0)
        self.refuses: set[str] = set()
        self.not_taking: set[str] = set()

    def send(self, entry: Entry) -> None:
        self.asked.release()
        if self.away or entry[0] in self.not_taking:
            raise StoreUnreachable("connection refused")
        if entry[0] in self.refuses:
            raise RefusedEntry("it is malformed")
        self.got.append(entry)

    def points(self) -> list:
        return [point for kind, content in self.got if kind == "metrics" for point in content]

    def wait_for_requests(self, count: int) -> None:
        for _ in range(count):
            assert self.asked.acquire(timeout=10)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def make(tmp_path: Path, store: Store) -> Iterator[Callable[..., Delivery]]:
    def start(send: Callable[[Entry], None] = store.send, **settings) -> Delivery:
        delivery = Delivery(send, spool=Spool(tmp_path / "spool.jsonl"), store_name="the store", **settings)
        delivery.start()
        return delivery

    return start


def point(step: int) -> Entry:
    return "metrics", [["loss", 0.5, 0, step]]


def test_everything_arrives_in_order(make, store: Store) -> None:
    delivery = make()
    delivery.put(("tags", {"a": "1"}))
    for step in range(2500):
        delivery.put(point(step))
    delivery.put(("end", {}))
    delivery.close(timeout=10)
    assert [p[3] for p in store.points()] == list(range(2500))
    assert store.got[0] == ("tags", {"a": "1"})
    assert store.got[-1] == ("end", {})


def test_neighbouring_metrics_travel_together_up_to_a_thousand(make, store: Store) -> None:
    delivery = Delivery(store.send, spool=Spool(Path("unused")), store_name="")
    for step in range(2500):
        delivery.put(point(step))
    delivery.start()
    delivery.close(timeout=10)
    assert [len(content) for _, content in store.got] == [1000, 1000, 500]


def test_work_that_is_handed_over_is_done_in_the_background(make, store: Store) -> None:
    delivery = make()
    done_in: list[str] = []

    def entry() -> Entry:
        done_in.append(threading.current_thread().name)
        return point(1)

    delivery.put(entry)
    delivery.close(timeout=10)
    assert done_in == ["monai_ext-tracking"]
    assert store.points() == [["loss", 0.5, 0, 1]]


def test_polled_entries_are_delivered_as_well(make, store: Store) -> None:
    delivery = make(poll=lambda: [("tags", {"polled": "yes"})])
    delivery.close(timeout=10)
    assert ("tags", {"polled": "yes"}) in store.got


def test_an_outage_is_said_once_and_nothing_is_lost(make, store: Store, caplog) -> None:
    delivery = make()
    delivery.put(point(1))
    store.wait_for_requests(1)
    store.away = True
    delivery.put(point(2))
    delivery.put(("tags", {}))
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
        delivery.reached.clear()
        assert delivery.reached.wait(10)
    delivery.close(timeout=10)
    levels = [record.levelname for record in caplog.records if SAID in record.message]
    assert levels == ["WARNING", "INFO"]


def test_what_could_not_be_delivered_is_told_with_its_place(make, store: Store, caplog, tmp_path: Path) -> None:
    store.away = True
    delivery = make()
    delivery.put(point(1))
    delivery.put(point(2))
    delivery.put(("end", {}))
    delivery.close(timeout=10)
    last = caplog.messages[-1]
    assert "2 metric values and 1 other entries" in last
    assert str(tmp_path / "spool.jsonl") in last
    assert sum(len(content) for kind, content in delivery.spool.waiting() if kind == "metrics") == 2


def test_what_a_former_process_left_is_delivered_first(make, store: Store, tmp_path: Path) -> None:
    Spool(tmp_path / "spool.jsonl").append([point(1)])
    delivery = make()
    delivery.put(point(2))
    delivery.close(timeout=10)
    assert [p[3] for p in store.points()] == [1, 2]


def test_an_entry_that_is_refused_does_not_hold_up_the_others(make, store: Store, caplog) -> None:
    store.refuses = {"tags"}
    delivery = make()
    delivery.put(("tags", {}))
    delivery.put(("tags", {}))
    delivery.put(point(1))
    delivery.close(timeout=10)
    assert store.points() == [["loss", 0.5, 0, 1]]
    assert sum("it is malformed" in message for message in caplog.messages) == 1


def test_a_file_that_is_not_taken_waits_without_holding_up_metrics(make, store: Store) -> None:
    store.not_taking = {"artifact"}
    delivery = make()
    delivery.put(("artifact", {"path": "x", "folder": ""}))
    delivery.put(point(1))
    store.wait_for_requests(4)
    store.not_taking = set()
    delivery.close(timeout=10)
    assert sorted(kind for kind, _ in store.got) == ["artifact", "metrics"]


def test_a_store_that_hangs_does_not_hold_up_the_end(make, caplog) -> None:
    hanging = threading.Event()
    delivery = make(lambda entry: (hanging.wait(30), None)[1])
    delivery.put(point(1))
    delivery.close(timeout=0.05)
    assert delivery.spool.waiting() == [point(1)]
    hanging.set()


def test_beyond_its_capacity_the_queue_drops_instead_of_growing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "QUEUE_LENGTH", 3)
    delivery = Delivery(store.send, spool=Spool(tmp_path / "spool.jsonl"), store_name="")
    for step in range(5):
        delivery.put(point(step))
    delivery.start()
    delivery.close(timeout=10)
    assert len(store.points()) == 3
    assert "2 metric values of this run were lost" in caplog.messages[-1]


def test_a_spool_that_cannot_be_written_is_said_and_training_goes_on(store: Store, caplog, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store.away = True
    delivery = Delivery(store.send, spool=Spool(tmp_path / "file" / "spool.jsonl"), store_name="")
    delivery.put(point(1))
    delivery.start()
    delivery.close(timeout=10)
    assert any("cannot be written" in message for message in caplog.messages)
    assert "1 metric values of this run were lost" in caplog.messages[-1]
