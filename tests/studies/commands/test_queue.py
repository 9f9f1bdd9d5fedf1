"""Several studies run one after another; what fails does not end the others."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studies.commands.queue import study_files
from studies.errors import StudyError
from tests.studies.conftest import write_study


def queued(folder: Path) -> list[Path]:
    """A sound study file, one that cannot be read, and another sound one."""
    text = write_study(folder, trials=1, images=16).read_text()
    text = re.sub("clip = .*\n", "", text).replace(
        "prompt_count = 2", "prompt_count = 0\noutside_prompt_count = 0"
    )
    text = text.replace("[pack]", "[objective]\nvalidation = 1.0\n[pack]")
    text = text.replace(
        "finalists = 3", "finalists = 1\nrounds = 1\nprompt_count = 0\noutside_prompt_count = 0"
    )
    files = [folder / name for name in ("a.toml", "b.toml", "c.toml")]
    files[0].write_text(text.replace('name = "small"', 'name = "first"'))
    files[1].write_text("[study")
    files[2].write_text(text.replace('name = "small"', 'name = "second"').replace("seed = 5", "seed = 6"))
    (folder / "small.toml").unlink()
    return files


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "studies.cli.main", "run", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_what_fails_does_not_end_the_others_and_the_same_command_goes_on(tmp_path: Path) -> None:
    queued(tmp_path)
    said = started(tmp_path, ".")
    text = said.communicate()[0]
    assert said.returncode == 1, text
    for line in ("1 of 3: a.toml", "2 of 3: b.toml", "3 of 3: c.toml"):
        assert line in text
    assert "this is not valid TOML" in text
    table = text[text.index("3 of 3") :]
    assert table.count("finished") >= 2 and table.count("failed") == 1
    assert all((tmp_path / "workspaces" / name / "best.safetensors").exists() for name in ("first", "second"))
    encoded = list((tmp_path / "workspaces" / "cache").rglob("*.safetensors"))
    assert len(encoded) == 12, "the images of both studies, once"
    again = started(tmp_path, "c.toml")
    text = again.communicate()[0]
    assert again.returncode == 0 and "started" not in text, text


def test_an_interruption_ends_the_queue_after_the_study_that_runs(tmp_path: Path) -> None:
    files = queued(tmp_path)
    files[0].write_text(files[0].read_text().replace("images_per_trial = 16", "images_per_trial = 2000"))
    process = started(tmp_path, "a.toml", "c.toml", "--log")
    lock = tmp_path / "workspaces" / "first" / "run.lock"
    while not lock.exists() and process.poll() is None:
        time.sleep(0.1)
    time.sleep(3)
    for child in _children(process.pid):
        child.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=120)[0]
    assert process.returncode == 130, text
    assert "interrupted" in text and "not begun" in text
    assert not (tmp_path / "workspaces" / "second").exists()


def _children(pid: int) -> list:  # type: ignore[type-arg]
    import psutil

    return psutil.Process(pid).children()


def test_folders_give_their_study_files_by_name_and_each_counts_once(tmp_path: Path) -> None:
    files = queued(tmp_path)
    assert study_files([files[2], tmp_path]) == [files[2], files[0], files[1]]


def test_places_that_hold_no_study_are_all_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError) as raised:
        study_files([tmp_path / "empty", tmp_path / "gone.toml"])
    assert raised.value.problems == [
        f"{tmp_path / 'empty'}: this folder holds no study file (*.toml).",
        f"{tmp_path / 'gone.toml'}: there is no such study file or folder.",
    ]


def test_one_workspace_for_several_studies_is_refused(tmp_path: Path) -> None:
    queued(tmp_path)
    process = started(tmp_path, "a.toml", "c.toml", "--workspace", "x")
    text = process.communicate()[0]
    assert process.returncode == 2
    assert "--workspace names the folder of one study" in text
