"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainer.files import write_whole


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
