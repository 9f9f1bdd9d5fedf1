"""One run at a time in a workspace."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from studies.problems import StudyError
from studies.workspace import Workspace


@contextmanager
def held(workspace: Workspace) -> Iterator[None]:
    """Keeps other runs out of the workspace while it lasts; the system lets go when the process dies.

    Raises:
        StudyError: another process runs there, or the workspace cannot be written.
    """
    try:
        file = workspace.lock.open("a+", encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{workspace.lock}: the workspace cannot be written ({error.strerror}).") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise StudyError(
                f"{workspace.root}: another run works here (process {owner}); wait for it, stop it, or choose "
                "another folder with --workspace."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
