from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.cli.conftest import Run
from tests.studies.invented import Invented


def test_copies_into_a_folder_under_the_studys_name(finished: Invented, tmp_path: Path, run: Run) -> None:
    code, out, _ = run("export", finished.workspace.root, tmp_path / "models" / "Lora")
    assert code == 0
    copy = tmp_path / "models" / "Lora" / "invented.safetensors"
    assert copy.read_bytes() == finished.workspace.best.read_bytes()
    assert f"Copied to {copy}" in out
    assert "sks thing" in out
    assert str(finished.study.spec.plan["base"]["path"]) in out


def test_copies_to_a_name(finished: Invented, tmp_path: Path, run: Run) -> None:
    run("export", finished.workspace.root, tmp_path / "mine.safetensors")
    run("export", finished.workspace.root, tmp_path, "--name", "other")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.safetensors", "other.safetensors"}


def test_another_file_is_overwritten_only_by_force(finished: Invented, tmp_path: Path, run: Run) -> None:
    target = tmp_path / "invented.safetensors"
    target.write_bytes(b"precious")
    code, _, err = run("export", finished.workspace.root, tmp_path)
    assert code == 2
    assert "--force" in err
    assert target.read_bytes() == b"precious"
    assert run("export", finished.workspace.root, tmp_path, "--force")[0] == 0
    assert run("export", finished.workspace.root, tmp_path)[0] == 0


@pytest.mark.parametrize("name", ["../evil", "a/b", " "])
def test_name_cannot_leave_the_folder(name: str, finished: Invented, tmp_path: Path, run: Run) -> None:
    assert run("export", finished.workspace.root, tmp_path, "--name", name)[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_study_without_a_verdict_has_nothing_to_export(
    unfinished: Invented, tmp_path: Path, run: Run
) -> None:
    code, _, err = run("export", unfinished.workspace.root, tmp_path)
    assert code == 2
    assert "no verdict yet" in err


def test_folder_that_is_a_file_is_told(finished: Invented, tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("")
    assert run("export", finished.workspace.root, tmp_path / "file" / "deeper")[0] == 2
    assert run("export", finished.workspace.root, tmp_path / "file")[0] == 2
