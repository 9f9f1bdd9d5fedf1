"""Several runners on one study, for real: processes, PostgreSQL, SIGKILL, restarts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.memory import Memory
from studies.commands.status import status
from studies.study.beginning import reopen
from studies.study.open import open_readonly
from tests.postgres import Postgres, running

RUNNER = """
import sys, time
from search.driver import Driver
from search.retry import Endurance
from search.shared_leases import Shared
from search.memory import Memory
from search.settings import SearchSettings
from search.space import parse_space
from search.trial import Finished, Point

url, folder, name = sys.argv[1:]
log = open(f"{folder}/{name}.log", "a", buffering=1)
memory = Memory.open(url, "many", folder, endurance=Endurance(60, lambda text: print(text, flush=True)))
leases = Shared(memory, name, name, ttl=4.0)
leases.enter()
leases.look()
space = parse_space({"lr": {"low": 1e-5, "high": 1e-2, "log": True}})
settings = SearchSettings.model_validate({
    "sampler": "random", "pruner": {"name": "none"}, "budget": {"trials": 40}, "horizon_images": 30,
    "first": ({"lr": 1e-4}, {"lr": 1e-3}),
})
with leases.beating():
    driver = Driver(memory, space, settings, 7, time.monotonic, leases=leases)
    while (proposal := driver.ask()) or driver.others:
        if proposal is None:
            time.sleep(0.2)
            continue
        for epoch in range(len(memory.record(proposal.number).cards) + 1, 4):
            time.sleep(0.05)
            log.write(f"{proposal.number} {epoch}\\n")
            point = Point(10 * epoch, proposal.values["lr"] * epoch)
            if driver.report(proposal.number, {"epoch": epoch}, point) == "lost":
                break
        else:
            driver.tell(proposal.number, Finished())
    leases.once("verdict", lambda: memory.recall("verdict"), lambda: memory.remember("verdict", name))
print("verdict:", memory.recall("verdict"), flush=True)
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


def start(postgres: Postgres, folder: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUNNER, postgres.url, str(folder), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def trained(folder: Path) -> dict[tuple[int, int], list[str]]:
    """Who trained each epoch of each trial."""
    found = defaultdict(list)
    for path in folder.glob("*.log"):
        for line in path.read_text().splitlines():
            number, epoch = map(int, line.split())
            found[number, epoch].append(path.stem)
    return found


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_four_runners_train_forty_trials_once_though_one_dies_and_the_database_restarts(
    postgres: Postgres, tmp_path: Path
) -> None:
    runners = {name: start(postgres, tmp_path, name) for name in ("one", "two", "three", "four")}
    until(lambda: len(trained(tmp_path)) > 20)
    runners["two"].send_signal(signal.SIGKILL)
    until(lambda: len(trained(tmp_path)) > 50)
    postgres.restart()
    ends = {name: runner.communicate(timeout=90)[0] for name, runner in runners.items()}
    memory = Memory.open(postgres.url, "many", tmp_path)
    records = memory.records()
    assert [record.number for record in records] == list(range(len(records)))
    assert [record.number for record in records if record.state != "waiting"] == list(range(40))
    assert {record.state for record in records[:40]} == {"finished"}
    assert all([card["epoch"] for card in record.cards] == [1, 2, 3] for record in records[:40])
    assert [record.values["lr"] for record in records[:2]] == [1e-4, 1e-3]
    assert len({record.values["lr"] for record in records[:40]}) == 40
    twice = {place: who for place, who in trained(tmp_path).items() if len(who) > 1}
    assert len(trained(tmp_path)) == 120
    assert all("two" in who and len(set(who)) == 2 for who in twice.values()) and len(twice) <= 1
    verdicts = {end.splitlines()[-1] for name, end in ends.items() if name != "two"}
    assert len(verdicts) == 1 and verdicts != {"verdict: None"}


def test_a_database_that_stays_away_ends_a_run_with_one_error_and_the_study_goes_on_later(
    postgres: Postgres, tmp_path: Path
) -> None:
    from search.retry import Endurance
    from search.storage import StorageError

    told: list[str] = []
    memory = Memory.open(postgres.url, "away", tmp_path, endurance=Endurance(1.0, told.append))
    memory.remember("seed", 7)
    postgres.stop()
    began = time.monotonic()
    with pytest.raises(StorageError, match="Cannot use the study database postgresql://postgres@") as caught:
        memory.recall("seed")
    assert "\n" not in str(caught.value)
    assert 0.9 < time.monotonic() - began < 10
    assert told == ["the study database does not answer; waiting for it"]
    postgres.start()
    assert memory.recall("seed") == 7


def run(study_file: Path, workspace: Path, runner: str) -> subprocess.Popen[str]:
    words = ["run", str(study_file), "--workspace", str(workspace), "--runner", runner]
    words += ["--storage", "env:LORASEARCH_STORAGE"]
    command = [sys.executable, "-m", "studies.cli.main", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_runs_with_folders_of_their_own_share_a_study_and_one_verdict_and_keep_the_password(
    postgres: Postgres, small_study: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORASEARCH_STORAGE", postgres.url.replace("postgres@", "postgres:s3cret@"))
    study_file = small_study(trials=3, images=16)
    text = study_file.read_text().replace("size = 3", "size = 1").replace("finalists = 3", "finalists = 2")
    study_file.write_text(re.sub(r"clip = .*\n", "", text) + "[objective]\nvalidation = 1\n")
    with study_file.open("a") as file:
        file.write(f'[storage]\nttl = 6\ncheckpoints = "file://{tmp_path}/depot"\n')
    roots = {name: tmp_path / name for name in ("left", "right")}
    runs = {name: run(study_file, root, name) for name, root in roots.items()}
    ends = {name: process.communicate(timeout=120)[0] for name, process in runs.items()}
    assert [process.returncode for process in runs.values()] == [0, 0], ends
    selections = [json.loads((root / "selection.json").read_text()) for root in roots.values()]
    assert selections[0] == selections[1]
    best = [(root / "best.safetensors").read_bytes() for root in roots.values()]
    assert best[0] == best[1]
    records = open_readonly(roots["left"]).memory.records()
    assert [record.state for record in records if record.state != "waiting"] == ["finished"] * 3
    begun = [line for end in ends.values() for line in end.splitlines() if " started: " in line]
    assert len(begun) == 3
    for root in roots.values():
        assert status(open_readonly(root)).ended
        assert reopen(root).workspace.report.exists()
        assert '"env:LORASEARCH_STORAGE"' in (root / "source.json").read_text()
    assert not list(tmp_path.glob("depot/**/state*"))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"s3cret" in path.read_bytes()]
    assert "s3cret" not in "".join(ends.values())
    kept = open_readonly(roots["left"]).memory.recall_all("")
    assert "s3cret" not in json.dumps(kept)
