"""Hand entries to a tracking store from a thread of its own, so that training never waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from monai_ext.tracking.spool import Entry, Spool, metric_values

__all__ = ["Delivery", "RefusedEntry", "StoreUnreachable"]

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0
FIRST_RETRY_SECONDS = 2.0
LAST_RETRY_SECONDS = 60.0
QUEUE_LENGTH = 20_000
METRICS_PER_ENTRY = 1000
_FILES = ("artifact", "picture", "text")


class StoreUnreachable(Exception):
    """The store did not answer; the same entry may succeed later."""


class RefusedEntry(Exception):
    """The store will never take this entry."""


class Delivery:
    """A queue, a thread that empties it, and a file for the time in which the store is away.

    ``put`` never waits and never raises. What the store does not take goes to the spool; it is tried again after 2
    seconds, then ever more rarely, up to once a minute, and is delivered in order. Outages are said once.

    Args:
        send: takes one entry to the store; raises :class:`StoreUnreachable` or :class:`RefusedEntry`.
        spool: for waiting entries; what a former process left in it is delivered first.
        store_name: of the store in messages.
        poll: gives further entries whenever the thread comes round, every two seconds.
    """

    def __init__(
        self,
        send: Callable[[Entry], None],
        *,
        spool: Spool,
        store_name: str,
        poll: Callable[[], Iterable[Entry]] = tuple,
    ) -> None:
        self.spool = spool
        self.reached = threading.Event()
        self.tried = threading.Event()
        self._send = send
        self._store_name = store_name
        self._poll = poll
        self._queue: deque[Entry | Callable[[], Entry]] = deque()
        self._in_hand: list[Entry] = []
        self._lost_values = 0
        self._outages = 0
        self._away = False
        self._pause = FIRST_RETRY_SECONDS
        self._next_try = 0.0
        self._refusals: set[str] = set()
        self._wake = threading.Event()
        self.closing = False
        self._deadline = float("inf")
        self._abandoned = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="monai_ext-tracking", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, entry: Entry | Callable[[], Entry]) -> None:
        """Hand over an entry, or a function that makes one in the thread; beyond 20,000 waiting ones it is lost."""
        if len(self._queue) < QUEUE_LENGTH:
            self._queue.append(entry)
        else:
            self._lost_values += 1

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
                self._keep([*self._in_hand, *self._drain()])
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
            self._in_hand.extend(self._drain())
            self._in_hand.extend(self._poll())
            if time.monotonic() >= self._next_try:
                self._deliver()
            self._keep_in_hand()
        except Exception as error:
            logger.debug("A fault of tracking itself.", exc_info=True)
            self._note_refusal(("an entry", None), RefusedEntry(f"{type(error).__name__}: {error}"))
            self._keep_in_hand()
        finally:
            self.tried.set()

    def _deliver(self) -> None:
        postponed: list[Entry] = []
        try:
            if self.spool:
                self._deliver_all(iter(self.spool), postponed)
            while self._in_hand and not self._late():
                self._deliver_all(self._in_hand[:1], postponed)
                del self._in_hand[0]
        except StoreUnreachable as error:
            self._note_outage(error)
        else:
            if postponed:
                self._note_outage(StoreUnreachable("files are not accepted"))
            elif self._away:
                self._away = False
                self._pause = FIRST_RETRY_SECONDS
                logger.info("The tracking store %s answers again and has what had waited.", self._store_name)
            self.reached.set()
        finally:
            self._in_hand = postponed + self._in_hand

    def _deliver_all(self, entries: Iterable[Entry], postponed: list[Entry]) -> None:
        """Send entries in order. A file that is not taken does not hold up the metrics behind it."""
        for entry in entries:
            if self._late():
                raise StoreUnreachable("the time for delivery is over")
            try:
                self._send(entry)
            except RefusedEntry as error:
                self._note_refusal(entry, error)
            except StoreUnreachable:
                if entry[0] not in _FILES:
                    raise
                postponed.append(entry)

    def _drain(self) -> list[Entry]:
        """What is in the queue, with neighbouring metrics joined."""
        entries: list[Entry] = []
        while self._queue:
            item = self._queue.popleft()
            kind, content = item() if callable(item) else item
            if kind == "metrics" and entries and entries[-1][0] == "metrics":
                room = METRICS_PER_ENTRY - len(entries[-1][1])
                if len(content) <= room:
                    entries[-1][1].extend(content)
                    continue
            entries.append((kind, list(content) if kind == "metrics" else content))
        return entries

    def _keep_in_hand(self) -> None:
        if self._in_hand and not self._abandoned:
            entries, self._in_hand = self._in_hand, []
            self._keep(entries)

    def _keep(self, entries: Sequence[Entry]) -> None:
        try:
            self._lost_values += self.spool.append(entries)
        except OSError as error:
            self._lost_values += metric_values(entries)
            self._note_refusal(("spool", None), RefusedEntry(f"{self.spool.path} cannot be written ({error.strerror})"))

    def _late(self) -> bool:
        return time.monotonic() > self._deadline

    def _note_outage(self, error: StoreUnreachable) -> None:
        self._next_try = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LAST_RETRY_SECONDS)
        if not self._away:
            self._away = True
            self._outages += 1
            logger.log(
                logging.WARNING if self._outages == 1 else logging.INFO,
                "The tracking store %s does not answer (%s). Training goes on; what is to be logged waits in %s and is "
                "delivered when the store is back.",
                self._store_name,
                error,
                self.spool.path,
            )

    def _note_refusal(self, entry: Entry, error: RefusedEntry) -> None:
        if str(error) not in self._refusals:
            self._refusals.add(str(error))
            logger.warning("Tracking: %s is not in the run: %s.", entry[0], str(error).rstrip("."))

    def _say_what_is_left(self) -> None:
        waiting = self.spool.waiting()
        if waiting:
            logger.warning(
                "%s did not get %d metric values and %d other entries of this run. They wait in %s; when the store is "
                "back, resume the training or call monai_ext.tracking.deliver(%r).",
                self._store_name,
                metric_values(waiting),
                sum(kind != "metrics" for kind, _ in waiting),
                self.spool.path,
                str(self.spool.path),
            )
        if self._lost_values:
            logger.warning("%d metric values of this run were lost for lack of space.", self._lost_values)
