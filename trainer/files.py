"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from uuid import uuid4

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says when a disk or a quota is full."""
PAUSE_SECONDS = 5.0
"""Between two attempts to write to a full disk."""
OPEN_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses while another process has open what is to be replaced, which Windows forbids."""

_wait: ContextVar[Callable[[Path], None] | None] = ContextVar("wait", default=None)


@contextmanager
def waiting_for_room(
    told: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Inside the block, ``write_whole`` waits while the disk is full instead of failing.

    Args:
        told: is told once for each file that has to wait.
        sleep: waits for so many seconds.
    """
    waits: set[Path] = set()

    def wait(path: Path) -> None:
        if path not in waits:
            waits.add(path)
            told(f"{path.parent}: the disk is full; free some space, and the run goes on by itself")
        sleep(PAUSE_SECONDS)

    token = _wait.set(wait)
    try:
        yield
    finally:
        _wait.reset(token)


def patiently(path: Path, write: Callable[[], None]) -> None:
    """Writes what ends as ``path``; again and again while the disk is full, inside ``waiting_for_room``.

    Raises:
        OSError: it cannot be written.
    """
    while True:
        try:
            return write()
        except OSError as error:
            wait = _wait.get()
            if wait is None or error.errno not in FULL:
                raise
        wait(path)


def write_whole(path: Path, data: bytes) -> None:
    """Writes to a temporary name in the same folder, syncs, then renames over ``path``.

    Raises:
        OSError: it cannot be written; a full disk is waited for inside ``waiting_for_room``.
    """
    patiently(path, lambda: _write(path, data))


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A hidden name beside ``path`` to write to; what stands there takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield part
        _rename(part, path)
    finally:
        part.unlink(missing_ok=True)


def _rename(part: Path, path: Path) -> None:
    """Puts ``part`` in the place of ``path``; on Windows as soon as nobody, such as a scanner, has it open."""
    for seconds in OPEN_SECONDS if sys.platform == "win32" else ():
        try:
            return os.replace(part, path)
        except PermissionError:
            time.sleep(seconds)
    return os.replace(part, path)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        _rename(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
