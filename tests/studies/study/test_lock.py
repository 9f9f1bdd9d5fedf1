from __future__ import annotations

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
    with held(Workspace(tmp_path)):
        assert Workspace(tmp_path).lock.read_text()


def test_a_run_that_ended_lets_go(tmp_path: Path) -> None:
    for _ in range(2):
        with held(Workspace(tmp_path)):
            pass


def test_a_workspace_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be written"), held(Workspace(tmp_path / "missing")):
        pass


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
