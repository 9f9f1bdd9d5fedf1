"""One of several runners on a study that lies on a database server."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from search.memory import Memory
from search.shared_leases import NameTakenError, Shared
from studies.errors import StudyError
from studies.workspace import Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def name(asked: str | None) -> str:
    """A runner's name: as asked for, or this machine's.

    Raises:
        StudyError: it is no name.
    """
    if asked is None:
        return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-")[:64] or "runner"
    if not _NAME.fullmatch(asked):
        raise StudyError(
            "--runner must be 1-64 letters, digits, '.', '_' or '-', starting with a letter or digit, but got "
            f"{asked!r}."
        )
    return asked


@contextmanager
def joined(memory: Memory, runner: str, workspace: Workspace, ttl: float) -> Iterator[Shared]:
    """The leases of a runner that is announced, and beats while it lasts.

    Raises:
        StudyError: one of that name is at work elsewhere.
    """
    place = f"{socket.gethostname()}:{workspace.root.resolve()}"
    leases = Shared(memory, runner, place, ttl)
    try:
        leases.enter()
        leases.look()
    except NameTakenError as error:
        raise StudyError(str(error)) from None
    with leases.beating():
        yield leases
