"""What an isolated process may be made to do, for tests; each is called there by its name."""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any


def echo(arguments: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], bytearray]:
    """Give back what came, and print."""
    print("SECRET")
    os.write(1, b"SECRET")
    os.write(2, b"SECRET")
    return {"pid": os.getpid(), **arguments}, payload


def die(arguments: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], bytearray]:
    """Get a signal, only once where a file ``once`` is named that is not there yet."""
    once = arguments.get("once")
    if once is None or not Path(once).exists():
        if once is not None:
            Path(once).touch()
        os.kill(os.getpid(), signal.Signals[arguments["signal"]])
    return arguments, payload


def loop(arguments: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], bytearray]:
    """Compute for ever."""
    next(number for number in count() if number < 0)
    return arguments, payload


def fill_memory(arguments: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], bytearray]:
    """Want a terabyte."""
    return arguments, payload + bytearray(2**40)


def stumble(arguments: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], bytearray]:
    """Raise an error whose text nobody may see."""
    raise ValueError("SECRET")


def loaded(arguments: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], bytearray]:
    """Say which packages were imported."""
    return {"modules": sorted({name.partition(".")[0] for name in sys.modules})}, payload
