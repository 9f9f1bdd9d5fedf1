"""Ending a run at a person's or the system's wish: tidily at the first signal, at once at the second."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what schedulers such as SLURM send before they kill."""
NOTED = b"\nstopping: every trial ends with its epoch; interrupt once more to stop at once\n"


@dataclass
class Stop:
    """Whether the run is to end."""

    asked: bool = False


@contextmanager
def at_signals() -> Iterator[Stop]:
    """Notes the first of ``SIGNALS`` inside the block, and says so on standard error; raises at the second.

    Outside the main thread, where Python takes no signals, nothing is noted.

    Yields:
        What the signals have asked for.

    Raises:
        KeyboardInterrupt: at the second signal.
    """
    stop = Stop()

    def note(_number: int, _frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        os.write(2, NOTED)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def as_interrupts() -> None:
    """Lets SIGTERM end a command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
