from __future__ import annotations

import sys
from pathlib import Path

import pytest

from studies.cli.main import main
from studies.engines.engine import MEMORY_FULL
from studies.errors import StudyError
from studies.runner.progress import LineLog, Listeners
from studies.runner.tensorboard import Curves, Events, scalars
from studies.study.trial import read_trials
from tests.studies.invented import Invented, invent

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("unfinished"), trials=4, finished=False, rich=True)


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads: tag -> steps and values."""
    found = accumulator.EventAccumulator(str(run))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_a_run_holds_every_stored_checkpoint_against_images_seen(
    unfinished: Invented, tmp_path: Path
) -> None:
    trials = read_trials(unfinished.study.memory)
    events = Events(tmp_path, trials)
    events.close()
    read = curves(tmp_path / "trial-0000")
    found = trials[0].checkpoints
    assert [step for step, _ in read["objective"]] == [one.images_seen for one in found]
    for tag, field in (("objective", "objective"), ("loss/training", "training_loss")):
        assert [value for _, value in read[tag]] == pytest.approx([getattr(one, field) for one in found])
    for tag, name in (
        ("loss/validation_log_ratio", "validation"),
        ("against_base/clip_image", "clip_image"),
        ("against_base/memorisation", "memorisation"),
    ):
        expected = [one.scores.metrics[name].difference.mean for one in found]
        assert [value for _, value in read[tag]] == pytest.approx(expected, rel=1e-5)
    assert not (tmp_path / "trial-0002").exists()


def test_a_resumed_study_has_whole_curves_once(unfinished: Invented, tmp_path: Path) -> None:
    trials = read_trials(unfinished.study.memory)
    first = Events(tmp_path, [])
    for one in trials[3].checkpoints[:1]:
        first.write(one)
    first.close()
    second = Events(tmp_path, trials)
    second.write(trials[3].checkpoints[0])
    again = trials[3].checkpoints[-1].model_copy(update={"epoch": 3, "images_seen": 240})
    second.write(again)
    second.close()
    assert [step for step, _ in curves(tmp_path / "trial-0003")["objective"]] == [80, 160, 240]


def test_a_watch_passes_on_what_it_records(
    unfinished: Invented, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    trial = read_trials(unfinished.study.memory)[0]
    events = Events(tmp_path, [])
    seen = Listeners([Curves(events), LineLog(Console())])
    seen.phase("searching")
    seen.started(0, {"lora.rank": 4}, False)
    seen.stepped(1, 0.5)
    seen.checkpoint(trial.checkpoints[0])
    seen.requeued(0, MEMORY_FULL)
    seen.ended(trial)
    told = capsys.readouterr().out
    assert all(words in told for words in ("searching", "started: rank 4", "epoch  1", "waits", "finished"))
    assert len(curves(tmp_path / "trial-0000")["objective"]) == 1


def test_only_what_was_measured_is_drawn(unfinished: Invented) -> None:
    one = read_trials(unfinished.study.memory)[0].checkpoints[0]
    assert "against_base/flexibility" not in scalars(one)
    unseen = one.scores.model_copy(update={"training": None})
    bare = one.model_copy(update={"objective": None, "training_loss": None, "scores": unseen})
    assert not {"objective", "loss/training", "loss/training_log_ratio"} & set(scalars(bare))


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(StudyError, match=r"pip install 'lorasearch\[tensorboard\]'"):
        Events(tmp_path, [])


def test_the_command_passes_the_option_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("studies.commands.run.launch", lambda *values: asked.extend(values))
    monkeypatch.setattr("sys.argv", ["lorasearch", "run", "study.toml", "--tensorboard"])
    main()
    assert asked[:4] == [Path("study.toml"), None, False, True]
