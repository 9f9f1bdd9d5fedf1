"""What the Ray engine does where workers and nodes die, and how closed its cluster is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from search.trial import Proposal, Reason
from studies.engines.choice import EngineChoice, opened
from studies.engines.engine import Requeued, Scored
from studies.engines.ray_cluster import close, cluster
from studies.errors import StudyError
from studies.runner.progress import Listener
from studies.runner.runner import Runner
from studies.study import beginning
from studies.study.study import Study
from studies.study.trial import Checkpoint
from tests.studies.conftest import write_study
from tests.studies.engines.test_contract import BRISK, GENTLE, far, to_the_end, trained_alone
from tests.studies.runner.test_runner import run
from tests.words import sentence_of

OUTSIDE = """
import os, sys
os.environ.pop("RAY_AUTH_TOKEN")
os.environ["RAY_AUTH_MODE"] = "disabled"
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).internal_kv_keys(b"", namespace=None, timeout=5)
"""


DIED = Reason("ray_worker_died", {"worker": 0})


class Told(Listener):
    """Keeps phases; calls somebody at every checkpoint."""

    def __init__(self, at_checkpoint: Callable[[int], None] = lambda count: None) -> None:
        self.phases: list[str] = []
        self.waits: list[str] = []
        self._checkpoints = 0
        self._at_checkpoint = at_checkpoint

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def requeued(self, number: int, reason: Reason) -> None:
        self.waits.append(sentence_of(reason))

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self._checkpoints += 1
        self._at_checkpoint(self._checkpoints)


def ignored(*_: object) -> None:
    """For what nobody listens to."""


@pytest.fixture
def begun(tmp_path: Path) -> Study:
    return beginning.begin(write_study(tmp_path), tmp_path / "workspace")


class TestOnThisMachine:
    @pytest.fixture(scope="class", autouse=True)
    def _cluster(self) -> Iterator[None]:
        with cluster(None, 2):
            yield

    def test_it_listens_on_the_loopback_alone_and_refuses_who_has_no_token(self) -> None:
        import ray

        address = ray.get_runtime_context().gcs_address
        assert address.startswith("127.0.0.1:")
        port = f"{int(address.rpartition(':')[2]):04X}"
        table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        listening = {line.split()[1] for line in table.splitlines() if line.split()[3] == "0A"}
        bound = {place for place in listening if place.endswith(f":{port}")}
        assert bound and bound <= {f"0100007F:{port}", f"0000000000000000FFFF00000100007F:{port}"}
        done = subprocess.run(
            [sys.executable, "-c", OUTSIDE, address], capture_output=True, text=True, timeout=120
        )
        assert done.returncode != 0 and "InvalidAuthToken" in done.stderr

    def test_a_worker_that_is_killed_gives_its_trial_back_and_comes_again(self, begun: Study) -> None:
        watch = Told()
        with opened(EngineChoice("ray", workers=1), begun, watch.stepped, watch.phase) as engine:
            engine.admit(Proposal(0, BRISK), [])
            (first,) = engine.advance()
            assert isinstance(first, Scored)
            _kill_worker(engine)
            assert engine.advance() == [Requeued(0, DIED)]
            assert not engine.idle and not engine.has_room, "nothing can be admitted before the new one lives"
            assert engine.advance() == [] and engine.has_room
            engine.admit(Proposal(0, BRISK, resumed=True), [first.checkpoint])
            assert [one.epoch for one in to_the_end(engine)[0]] == [1, 2]
        assert any("died and is started anew" in phase for phase in watch.phases)
        assert far(begun.workspace.lora(0, 2), trained_alone(begun, BRISK)[-1]) < 5e-3

    def test_a_worker_that_always_dies_ends_the_study_in_a_sentence(
        self, begun: Study, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("studies.engines.ray.RESTARTS", 0)
        with opened(EngineChoice("ray", workers=1), begun, ignored, ignored) as engine:
            engine.admit(Proposal(0, GENTLE), [])
            _kill_worker(engine)
            assert engine.advance() == [Requeued(0, DIED)]
            with pytest.raises(StudyError, match=r"No Ray worker is left.*run the same command again"):
                engine.advance()

    def test_more_workers_than_devices_are_refused(self, begun: Study) -> None:
        with (
            pytest.raises(StudyError, match="--workers is 999, but this Ray cluster has"),
            opened(EngineChoice("ray", workers=999), begun, ignored, ignored),
        ):
            pass

    def test_what_a_user_can_mend_is_told_as_inline(self, begun: Study) -> None:
        with opened(EngineChoice("ray", workers=1), begun, ignored, ignored) as engine:
            picture = sorted(begun.workspace.root.parent.rglob("images/*/*.png"))
            for path in picture:
                path.write_bytes(b"no longer an image")
            begun.workspace.cache.rename(begun.workspace.root / "elsewhere")
            engine.admit(Proposal(0, GENTLE), [])
            with pytest.raises(StudyError, match="the image has changed since the run began"):
                to_the_end(engine)


def _kill_worker(engine: Any) -> None:
    """SIGKILL to an engine's one worker."""
    import ray

    os.kill(ray.get(engine._seats[0].placed), signal.SIGKILL)


def test_a_head_that_dies_is_told(begun: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studies.engines.ray.PULSE_SECONDS", 0.2)
    monkeypatch.setattr("studies.engines.ray.HEAD_SECONDS", 0.5)
    close()
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        with opened(EngineChoice("ray", nodes.address), begun, ignored, ignored) as engine:
            engine.admit(Proposal(0, GENTLE), [])
            nodes.head_node.kill_gcs_server()
            with pytest.raises(StudyError, match=r"no longer answers.*run the same command again"):
                to_the_end(engine)
    finally:
        nodes.shutdown()


def test_a_node_that_is_killed_midway_changes_nothing(tmp_path: Path) -> None:
    """Two nodes with a pretended GPU each; random sampling, no pruning."""
    study_file = write_study(tmp_path, trials=6)
    run(study_file, tmp_path / "inline")
    close()
    from ray.cluster_utils import Cluster

    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1, "include_dashboard": False}
    )
    try:
        doomed = nodes.add_node(num_cpus=1, num_gpus=1)
        watch = Told(lambda count: nodes.remove_node(doomed, allow_graceful=False) if count == 3 else None)
        begun = beginning.begin(study_file, tmp_path / "ray")
        with opened(EngineChoice("ray", nodes.address), begun, watch.stepped, watch.phase) as engine:
            engine.limit_pack(2)
            Runner(begun, engine, watch).run()
    finally:
        nodes.shutdown()
    assert any("Ray worker" in reason for reason in watch.waits), "trials were given back"
    ours, theirs = (
        json.loads((tmp_path / name / "selection.json").read_text()) for name in ("ray", "inline")
    )
    assert [ours["winner"][k] for k in ("trial", "epoch", "params")] == [
        theirs["winner"][k] for k in ("trial", "epoch", "params")
    ]
    found, expected = (
        {(c["trial"], c["epoch"]): c["objective"]["mean"] for c in document["candidates"]}
        for document in (ours, theirs)
    )
    assert found == pytest.approx(expected, abs=0.02)
    states = [(record.values, record.state) for record in begun.memory.records()]
    assert states == [(r.values, r.state) for r in beginning.reopen(tmp_path / "inline").memory.records()]
