"""What happens to a run when the machine fails it, each caused for real."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos import run as start
from studies.study.beginning import reopen

STARVED = """
import resource, sys
from pathlib import Path
import torch
from studies.spec.planner import Planner
from studies.study.preflight import examine
from trainer.training import session

torch.set_num_threads(1)
spec, dataset = examine(Path(sys.argv[1]))
planner = Planner(spec, dataset, 5)
pack = session.open(planner.plan({}), dataset, Path(sys.argv[2]), 4)
for number in range(4):
    pack.admit(number, planner.plan({"data.batch_size": 2}))
pack.step()  # libraries are loaded, images and captions encoded
pages = int(open("/proc/self/statm").read().split()[0])
spared = [torch.zeros(1)]
used = pages * resource.getpagesize()
limit = used + 1_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, -1))
hogs = []
try:
    while True:
        hogs.append(torch.empty(250_000))
except RuntimeError:
    pass
events = pack.step()
print([type(event).__name__ for event in events], len(pack.runs), pack.limit, flush=True)
"""


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB of its own, in memory."""
    place = tmp_path / "volume"
    place.mkdir()
    mounted = shutil.which("mount") and _system("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place)
    if not mounted:
        pytest.skip("mounting a file system takes rights that this process lacks")
    yield place
    _system("umount", "-l", place)


def _system(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def test_a_full_disk_is_waited_for_and_nothing_is_lost(small_study, volume: Path) -> None:
    study_file = small_study(trials=2)
    process = start(study_file, volume / "ws", stdout=subprocess.PIPE)
    _wait(lambda: list(volume.glob("ws/trials/*/trial-*.safetensors")), process)
    filler = _fill(volume)
    said = _until(process, b"the disk is full")
    assert b"free some space, and the run goes on by itself" in said
    assert process.poll() is None
    filler.unlink()
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert {record.state for record in reopen(volume / "ws").memory.records()} == {"finished"}
    assert not list((volume / "ws").rglob(".*.safetensors*")), "no half-written file is left"


def _fill(volume: Path) -> Path:
    """Takes all room that is left, also what is freed in between."""
    filler = volume / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    stream.write(b"\0" * size)
            except OSError:
                continue
    return filler


def _wait(true: object, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not true():  # type: ignore[operator]
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def _until(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """What a process says until it says so, its lines joined."""
    said, deadline = b"", time.monotonic() + 60
    while text not in said:
        assert time.monotonic() < deadline
        said += os.read(process.stdout.fileno(), 65536).replace(b"\n", b" ")  # type: ignore[union-attr]
    return said


def test_a_read_only_workspace_is_told_before_anything_starts(small_study, volume: Path) -> None:
    study_file = small_study(trials=2)
    assert _system("mount", "-o", "remount,ro", volume)
    process = start(study_file, volume / "ws", stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"Traceback" not in said and str(volume / "ws").encode() in said.replace(b"\n", b"")


def test_spent_memory_puts_out_the_newest_trial_and_the_others_go_on(small_study, tmp_path: Path) -> None:
    if sys.platform != "linux" or resource.getrlimit(resource.RLIMIT_AS)[1] != resource.RLIM_INFINITY:
        pytest.skip("needs Linux and the right to limit memory")
    done = subprocess.run(
        [sys.executable, "-c", STARVED, str(small_study(trials=2)), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "['OutOfMemory'] 3 3", done.stderr[-2000:]


def test_an_image_that_changes_under_a_run_ends_it_resumably(small_study, tmp_path: Path) -> None:
    study_file = small_study(trials=2)
    picture = sorted((tmp_path / "images").rglob("*.png"))[0]
    before = picture.read_bytes()
    other = sorted((tmp_path / "images").rglob("*.png"))[1].read_bytes()
    process = start(study_file, tmp_path / "ws", stderr=subprocess.PIPE)
    _wait(lambda: (tmp_path / "ws" / "study.toml").exists(), process)
    picture.write_bytes(other)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2 and b"Traceback" not in said
    assert f"{picture}: the image has changed since the run began; restore it" in said.decode()
    picture.write_bytes(before)
    assert start(study_file, tmp_path / "ws").wait() == 0


def test_clock_jumps_do_not_matter(small_study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock leaps by a day, back and forth, at every look; the budget in minutes stays what it is."""
    from studies.engines.inline import open_worker
    from studies.runner.progress import Listener
    from studies.runner.runner import Runner
    from studies.study import beginning

    leaps = iter(range(10**9))
    honest = time.time
    monkeypatch.setattr(time, "time", lambda: honest() + 86_400 * (-1) ** next(leaps))
    study_file = small_study(trials=1, images=16)
    study_file.write_text(study_file.read_text().replace("trials = 1", "trials = 1\nminutes = 30"))
    opened = beginning.begin(study_file, tmp_path / "ws")
    worker = open_worker(
        opened.spec, opened.workspace, opened.dataset, opened.seed, lambda images, loss: None
    )
    Runner(opened, worker, Listener()).run()
    (record,) = opened.memory.records()
    assert record.state == "finished"
    assert 0 <= float(opened.memory.recall("seconds_spent") or 0.0) < 600
