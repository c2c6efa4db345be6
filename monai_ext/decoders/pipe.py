"""Messages between a process and its isolated child: plain JSON and bytes, since nothing that is read may run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

__all__ = ["read_from", "receive", "send", "write_to"]

_HEAD_BYTES = 16


def send(write: Callable[[memoryview], int], content: dict[str, Any], payload: Any = b"") -> None:
    """Send JSON values and the bytes that belong to them.

    Args:
        write: writes some of what it is given and says how much.
        content: the values.
        payload: anything with a contiguous buffer.
    """
    text = json.dumps(content).encode()
    buffer = memoryview(payload).cast("B")
    head = len(text).to_bytes(8, "little") + len(buffer).to_bytes(8, "little")
    for part in (memoryview(head + text), buffer):
        while part:
            part = part[write(part) :]


def receive(read: Callable[[memoryview], int]) -> tuple[dict[str, Any], bytearray]:
    """Receive what :func:`send` sent.

    Args:
        read: fills the beginning of a buffer and says how many bytes it got; 0 at the end of the stream.

    Raises:
        EOFError: the other side is gone.
    """
    head = _read_exactly(read, _HEAD_BYTES)
    text = _read_exactly(read, int.from_bytes(head[:8], "little"))
    return json.loads(text), _read_exactly(read, int.from_bytes(head[8:], "little"))


def write_to(descriptor: int) -> Callable[[memoryview], int]:
    """Write to a pipe, waiting as long as it takes."""
    return lambda part: os.write(descriptor, part)


def read_from(descriptor: int) -> Callable[[memoryview], int]:
    """Read from a pipe, waiting as long as it takes."""
    return lambda buffer: os.readv(descriptor, [buffer])


def _read_exactly(read: Callable[[memoryview], int], count: int) -> bytearray:
    content = bytearray(count)
    left = memoryview(content)
    while left:
        got = read(left)
        if not got:
            raise EOFError
        left = left[got:]
    return content
