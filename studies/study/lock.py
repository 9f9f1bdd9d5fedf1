"""One run at a time in a workspace, or one of each name."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from studies.errors import StudyError
from studies.workspace import Workspace


@contextmanager
def held(workspace: Workspace, runner: str | None = None) -> Iterator[None]:
    """Keeps other runs out of the workspace while it lasts; the system lets go when the process dies.

    Args:
        workspace: where the study's files are.
        runner: keeps out those of that name only; None keeps out all.

    Raises:
        StudyError: another process runs there, or the workspace cannot be written.
    """
    path = workspace.lock if runner is None else workspace.runner_lock(runner)
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path}: the workspace cannot be written ({error.strerror}).") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise StudyError(_taken(workspace, owner, runner)) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _taken(workspace: Workspace, owner: str, runner: str | None) -> str:
    if runner is not None:
        return (
            f"{workspace.root}: a runner named {runner!r} works here already (process {owner}); give this one another "
            "name with --runner."
        )
    return (
        f"{workspace.root}: another run works here (process {owner}); wait for it, stop it, or choose another folder "
        "with --workspace."
    )
