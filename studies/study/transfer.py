"""How files of trials travel between runners that have a folder each: through an fsspec URL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from studies.errors import StudyError
from studies.workspace import Workspace
from trainer.files import appearing

T = TypeVar("T")


class Transfer:
    """A folder that all runners reach, laid out as the workspaces are.

    Args:
        url: an fsspec URL, such as `s3://bucket/studies`, or a folder.
        study: names the study's part of it.
        workspace: whose files are passed on.

    Raises:
        StudyError: no such kind of URL, or a package for it is missing.
    """

    def __init__(self, url: str, study: str, workspace: Workspace) -> None:
        import fsspec

        self._url, self._workspace = url, workspace
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StudyError(f"storage.checkpoints = {url!r} cannot be used: {error}.") from error
        self._root = f"{root.rstrip('/')}/{study}"
        self._sent: dict[Path, tuple[int, int]] = {}

    def push(self, folder: Path) -> None:
        """Sends all files of a folder of the workspace that are new or have changed; each appears whole."""
        for path in sorted(folder.glob("*")):
            if path.name.startswith(".") or not path.is_file():
                continue
            stamp = (path.stat().st_mtime_ns, path.stat().st_size)
            if self._sent.get(path) != stamp:
                self._told(partial(self._send, path))
                self._sent[path] = stamp

    def fetch(self, folder: Path, pattern: str = "*") -> None:
        """Brings the files of a folder of the workspace whose names match, over those that are there."""
        for name in self._told(lambda: self._files.glob(f"{self._place(folder)}/{pattern}")):
            path = folder / Path(name).name
            if not path.name.startswith("."):
                self._told(partial(self._bring, name, path))
                self._sent[path] = (path.stat().st_mtime_ns, path.stat().st_size)

    def discard(self, folder: Path, pattern: str) -> None:
        """Removes the files of a folder whose names match."""
        for name in self._told(lambda: self._files.glob(f"{self._place(folder)}/{pattern}")):
            with suppress(FileNotFoundError):
                self._told(partial(self._files.rm_file, name))

    def _place(self, path: Path) -> str:
        return f"{self._root}/{self._workspace.relative(path)}"

    def _send(self, path: Path) -> None:
        place = self._place(path)
        folder, _, name = place.rpartition("/")
        part = f"{folder}/.{name}.{uuid4().hex}"
        self._files.makedirs(folder, exist_ok=True)
        self._files.put_file(str(path), part)
        self._files.mv(part, place)

    def _bring(self, name: str, path: Path) -> None:
        with appearing(path) as part:
            self._files.get_file(name, str(part))

    def _told(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StudyError(
                f"storage.checkpoints = {self._url!r} cannot be used ({error.strerror or error}); mend it and run the "
                "same command again to go on."
            ) from error


def transfer(url: str | None, study: str, workspace: Workspace) -> Transfer | None:
    """What passes the files of a study on; None where runners share a folder."""
    return Transfer(url, study, workspace) if url else None
