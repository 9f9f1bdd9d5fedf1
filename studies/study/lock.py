"""One run at a time in a workspace, or one of each name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

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
    owner = workspace.owner(path)
    with ExitStack() as stack:
        try:
            workspace.root.stat()  # FileLock would make a folder that is missing
            stack.enter_context(FileLock(path, timeout=0))
            owner.write_text(str(os.getpid()), encoding="utf-8")
        except Timeout:
            raise StudyError(_taken(workspace, _read(owner), runner)) from None
        except OSError as error:
            raise StudyError(f"{path}: the workspace cannot be written ({error.strerror}).") from error
        yield


def _read(owner: Path) -> str:
    try:
        return owner.read_text(encoding="utf-8").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"


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
