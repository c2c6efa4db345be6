"""Hand operations to a tracking store from a thread of its own, so that nobody's work ever waits for it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from monai_ext.tracking.operations import (
    METRICS_PER_REQUEST,
    Metrics,
    OpenRun,
    Operation,
    RefusedOperation,
    operation_of,
)
from monai_ext.tracking.store import StoreUnreachable

__all__ = ["Delivery", "Spool", "metric_values"]

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0
FIRST_RETRY_SECONDS = 2.0
LAST_RETRY_SECONDS = 60.0
QUEUE_LENGTH = 20_000
SPOOL_BYTES = 64 * 2**20


class Spool:
    """A file for what could not be delivered yet: one JSON line an operation, in the order of their arrival.

    The file exists only while anything waits.

    Args:
        path: of the file.
        header: makes the operation that has to precede all others when the file is read by itself.
        max_bytes: from this size on metrics are not kept any more. All other operations are few and always kept.
    """

    def __init__(
        self, path: Path, *, header: Callable[[], Operation] | None = None, max_bytes: int = SPOOL_BYTES
    ) -> None:
        self.path = path
        self.header = header
        self.max_bytes = max_bytes
        self._delivered = 0

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return self.path.exists() and self.path.stat().st_size > self._delivered

    def append(self, operations: Sequence[Operation]) -> int:
        """Keep one or more operations; returns how many metric values the limit did not allow to keep.

        Raises:
            OSError: when the disk refuses.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lost = 0
        with open(self.path, "ab") as file:
            size = file.tell()
            if not size and self.header is not None and not isinstance(operations[0], OpenRun):
                size += file.write(_line(self.header()))
            for operation in operations:
                if isinstance(operation, Metrics) and size >= self.max_bytes:
                    lost += len(operation.points)
                else:
                    size += file.write(_line(operation))
        return lost

    def __iter__(self) -> Iterator[Operation]:
        """Each waiting operation but damaged ones; asking for the next says that the last is delivered."""
        with open(self.path, "rb") as file:
            file.seek(self._delivered)
            for line in file:
                operation = _operation(line)
                if operation is not None:
                    yield operation
                self._delivered += len(line)
        self.path.unlink()
        self._delivered = 0

    def waiting(self) -> list[Operation]:
        """All waiting operations, none of them marked as delivered."""
        if not self:
            return []
        with open(self.path, "rb") as file:
            file.seek(self._delivered)
            return [operation for operation in map(_operation, file) if operation is not None]


class Delivery:
    """A queue, a thread that empties it, and a spool for the time in which the store is away.

    ``put`` never waits and never raises. What the store does not take goes to the spool; it is tried again after 2
    seconds, then ever more rarely, up to once a minute, and is delivered in order. Outages are said once.

    Args:
        write: takes one operation to the store; raises ``StoreUnreachable`` or ``RefusedOperation``.
        spool: for waiting operations; what a former process left in it is delivered first.
        store_name: of the store in messages.
        poll: gives further operations whenever the thread comes round, every two seconds.
    """

    def __init__(
        self,
        write: Callable[[Operation], None],
        *,
        spool: Spool,
        store_name: str,
        poll: Callable[[], Iterable[Operation]] = tuple,
    ) -> None:
        self.spool = spool
        self.tried = threading.Event()
        self.closing = False
        self._write = write
        self._store_name = store_name
        self._poll = poll
        self._queue: deque[Operation] = deque()
        self._in_hand: list[Operation] = []
        self._lost_values = 0
        self._outages = 0
        self._pause = 0.0
        self._next_try = 0.0
        self._refusals: set[str] = set()
        self._wake = threading.Event()
        self._deadline = float("inf")
        self._abandoned = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="monai_ext-tracking", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, operation: Operation) -> None:
        """Hand over an operation; beyond 20,000 waiting ones metrics are lost, and all others are kept."""
        if isinstance(operation, Metrics) and len(self._queue) >= QUEUE_LENGTH:
            self._lost_values += len(operation.points)
        else:
            self._queue.append(operation)

    def close(self, *, timeout: float) -> None:
        """Deliver what can be delivered within ``timeout`` seconds, keep the rest in the spool, and say so."""
        self._deadline = time.monotonic() + timeout
        self.closing = True
        self._wake.set()
        try:
            self._ended.wait(timeout + 1)  # not join: a signal in it lets Python 3.11 take the thread for ended
        finally:
            if not self._ended.is_set():
                self._abandoned = True
                self._take()
                if self._in_hand:
                    self._keep(self._in_hand)
            self._say_what_is_left()

    def _work(self) -> None:
        while not self.closing:
            self._round()
            self._wake.wait(INTERVAL_SECONDS)
        self._next_try = 0.0
        self._round()
        self._ended.set()

    def _round(self) -> None:
        """Take everything from the queue and bring it to the store, or to the spool."""
        try:
            self._take()
            self._in_hand.extend(self._poll())
            if time.monotonic() >= self._next_try:
                self._deliver()
        except Exception as error:
            logger.debug("A fault of tracking itself.", exc_info=True)
            self._note_refusal("an entry", f"{type(error).__name__}: {error}")
        finally:
            if self._in_hand and not self._abandoned:
                in_hand, self._in_hand = self._in_hand, []
                self._keep(in_hand)
            self.tried.set()

    def _take(self) -> None:
        """Take what is in the queue in hand, with neighbouring metrics joined."""
        while self._queue:
            operation = self._queue.popleft()
            last = self._in_hand[-1] if self._in_hand else None
            if isinstance(operation, Metrics):
                if isinstance(last, Metrics) and len(last.points) + len(operation.points) <= METRICS_PER_REQUEST:
                    last.points.extend(operation.points)
                    continue
                operation = Metrics(list(operation.points))
            self._in_hand.append(operation)

    def _deliver(self) -> None:
        """Write all that waits, in order. A file that is not taken does not hold up the metrics behind it."""
        postponed: list[Operation] = []
        try:
            for operation in self._all_that_waits():
                if time.monotonic() > self._deadline:
                    return
                try:
                    self._write(operation)
                except RefusedOperation as error:
                    self._note_refusal(operation.kind, str(error))
                except StoreUnreachable:
                    if not operation.is_file:
                        raise
                    postponed.append(operation)
            if postponed:
                raise StoreUnreachable("files are not accepted")
        except StoreUnreachable as error:
            self._note_outage(error)
        else:
            self._note_answer()
        finally:
            self._in_hand = postponed + self._in_hand

    def _all_that_waits(self) -> Iterator[Operation]:
        """Operations in order; asking for the next one says that the last is dealt with."""
        if self.spool:
            yield from self.spool
        while self._in_hand:
            yield self._in_hand[0]
            del self._in_hand[0]

    def _keep(self, operations: Sequence[Operation]) -> None:
        try:
            self._lost_values += self.spool.append(operations)
        except OSError as error:
            self._lost_values += metric_values(operations)
            self._note_refusal("spool", f"{self.spool.path} cannot be written ({error.strerror})")

    def _note_outage(self, error: StoreUnreachable) -> None:
        begins = self._pause == 0
        self._pause = min(2 * self._pause or FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        self._next_try = time.monotonic() + self._pause
        if begins:
            self._outages += 1
            logger.log(
                logging.WARNING if self._outages == 1 else logging.INFO,
                "The tracking store %s does not answer (%s). The work goes on; what is to be logged waits in %s and is "
                "delivered when the store is back.",
                self._store_name, error, self.spool.path,
            )  # fmt: skip

    def _note_answer(self) -> None:
        if self._pause:
            self._pause = 0.0
            logger.info("The tracking store %s answers again and has what had waited.", self._store_name)

    def _note_refusal(self, what: str, why: str) -> None:
        if why not in self._refusals:
            self._refusals.add(why)
            logger.warning("Tracking: %s is not in the run: %s.", what, why.rstrip("."))

    def _say_what_is_left(self) -> None:
        waiting = self.spool.waiting()
        if waiting:
            logger.warning(
                "%s did not get %d metric values and %d other entries of this run. They wait in %s; when the store is "
                "back, resume what was run or call monai_ext.tracking.deliver(%r).",
                self._store_name,
                metric_values(waiting),
                sum(not isinstance(operation, Metrics) for operation in waiting),
                self.spool.path,
                str(self.spool.path),
            )
        if self._lost_values:
            logger.warning("%d metric values of this run were lost for lack of space.", self._lost_values)


def metric_values(operations: Sequence[Operation]) -> int:
    """Number of single metric values in operations."""
    return sum(len(operation.points) for operation in operations if isinstance(operation, Metrics))


def _line(operation: Operation) -> bytes:
    return b"\n" + json.dumps([operation.kind, operation.content]).encode() + b"\n"


def _operation(line: bytes) -> Operation | None:
    """The operation of a line; None for the empty line between two and for what a killed process left half-written."""
    try:
        kind, content = json.loads(line)
    except (ValueError, TypeError):
        return None
    try:
        return operation_of(kind, content)
    except (KeyError, TypeError):
        logger.warning("Tracking: an entry %r is not in the run: it is of another version.", kind)
        return None
