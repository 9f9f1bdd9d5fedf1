"""Files appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.files import OPEN_SECONDS, appearing, write_whole


def test_a_file_and_its_folders_appear(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "c.bin", b"123")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"123"
    assert os.listdir(tmp_path / "a" / "b") == ["c.bin"]


def test_a_file_that_exists_is_replaced(tmp_path: Path) -> None:
    write_whole(tmp_path / "c", b"a long old text")
    write_whole(tmp_path / "c", b"new")
    assert (tmp_path / "c").read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "c", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "c", b"new")
    assert (tmp_path / "c").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["c"]


@pytest.fixture
def opened_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[float]]:
    """Lets so many renames fail as Windows does for an open file; gives the pauses that were made."""

    def begin(times: int) -> list[float]:
        plain, pauses = os.replace, list[float]()

        def replace(source: Path, target: Path) -> None:
            if len(pauses) < times:
                raise PermissionError(13, "Permission denied", str(target))
            plain(source, target)

        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr("time.sleep", pauses.append)
        return pauses

    return begin


def path_appears(path: Path, data: bytes) -> None:
    with appearing(path) as part:
        part.write_bytes(data)


@pytest.mark.parametrize("write", [write_whole, path_appears])
def test_on_windows_a_file_that_is_open_elsewhere_is_waited_for(
    write: Callable[[Path, bytes], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened_elsewhere: Callable[[int], list[float]],
) -> None:
    pauses = opened_elsewhere(2)
    monkeypatch.setattr("sys.platform", "win32")
    write(tmp_path / "c", b"new")
    assert (tmp_path / "c").read_bytes() == b"new"
    assert pauses == list(OPEN_SECONDS[:2])


@pytest.mark.parametrize(("platform", "pauses"), [("win32", OPEN_SECONDS), ("linux", ())])
def test_what_stays_open_or_is_forbidden_is_an_error(
    platform: str,
    pauses: tuple[float, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened_elsewhere: Callable[[int], list[float]],
) -> None:
    made = opened_elsewhere(99)
    monkeypatch.setattr("sys.platform", platform)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "c", b"new")
    assert tuple(made) == pauses
    assert os.listdir(tmp_path) == []
