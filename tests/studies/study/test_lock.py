from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from studies.errors import StudyError
from studies.study.lock import held
from studies.workspace import Workspace

HOLDER = """
import sys, time
from pathlib import Path
from studies.study.lock import held
from studies.workspace import Workspace
with held(Workspace(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_told_who_works_there(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    told = f"another run works here \\(process {holder.pid}\\)"
    with pytest.raises(StudyError, match=told), held(Workspace(tmp_path)):
        pass
    holder.kill()
    holder.wait()


def test_a_killed_run_leaves_no_lock_behind(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    workspace = Workspace(tmp_path)
    with held(workspace):
        assert workspace.owner(workspace.lock).read_text() == str(os.getpid())


def test_a_run_that_ended_lets_go(tmp_path: Path) -> None:
    for _ in range(2):
        with held(Workspace(tmp_path)):
            pass


def test_a_workspace_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be written"), held(Workspace(tmp_path / "missing")):
        pass
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("name", ["run.lock", "run.pid"])
def test_a_file_of_the_lock_that_cannot_be_written_is_told_and_nothing_stays_locked(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    told = r"run\.lock: the workspace cannot be written \(Is a directory\)\.$"
    with pytest.raises(StudyError, match=told), held(Workspace(tmp_path)):
        pass
    (tmp_path / name).rmdir()
    with held(Workspace(tmp_path)):
        pass


@pytest.mark.parametrize("written", [None, b"", b"\xff"])
def test_an_owner_who_left_no_number_is_unknown(
    holder: subprocess.Popen[str], tmp_path: Path, written: bytes | None
) -> None:
    owner = Workspace(tmp_path).owner(Workspace(tmp_path).lock)
    owner.unlink()
    if written is not None:
        owner.write_bytes(written)
    with pytest.raises(StudyError, match=r"\(process unknown\)"), held(Workspace(tmp_path)):
        pass
    holder.kill()
    holder.wait()


def test_the_last_word_on_the_lock_comes_from_the_system_not_from_its_files(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.lock.touch()
    workspace.owner(workspace.lock).write_text("1")
    with held(workspace):
        assert workspace.owner(workspace.lock).read_text() == str(os.getpid())


def test_a_runner_has_its_own_owner(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with held(workspace), held(workspace, "gpu.1"):
        told = f"a runner named 'gpu.1' works here already \\(process {os.getpid()}\\)"
        with pytest.raises(StudyError, match=told), held(workspace, "gpu.1"):
            pass
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "run-gpu.1.lock",
            "run-gpu.1.pid",
            "run.lock",
            "run.pid",
        ]


def test_runners_of_different_names_share_a_workspace_and_of_one_name_do_not(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with (
        held(workspace, "one"),
        held(workspace, "other"),
        pytest.raises(StudyError, match="a runner named 'one' works here already"),
        held(workspace, "one"),
    ):
        pass
    with held(workspace, "one"):
        pass
