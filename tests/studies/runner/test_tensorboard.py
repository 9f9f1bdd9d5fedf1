from __future__ import annotations

import sys
from pathlib import Path

import pytest

from studies.cli.main import main
from studies.engines.engine import MEMORY_FULL
from studies.errors import StudyError
from studies.runner.progress import LineLog
from studies.runner.tensorboard import Events, Recorded, scalars
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
    records = unfinished.study.memory.records()
    events = Events(tmp_path, records)
    events.close()
    read = curves(tmp_path / "trial-0000")
    cards = records[0].cards
    assert [step for step, _ in read["objective"]] == [card["images_seen"] for card in cards]
    for tag, field in (("objective", "objective"), ("loss/training", "training_loss")):
        assert [value for _, value in read[tag]] == pytest.approx([card[field] for card in cards])
    for tag, name in (
        ("loss/validation_log_ratio", "validation"),
        ("against_base/clip_image", "clip_image"),
        ("against_base/memorisation", "memorisation"),
    ):
        expected = [card["scores"][name]["mean"] for card in cards]
        assert [value for _, value in read[tag]] == pytest.approx(expected, rel=1e-5)
    assert not (tmp_path / "trial-0002").exists()


def test_a_resumed_study_has_whole_curves_once(unfinished: Invented, tmp_path: Path) -> None:
    records = unfinished.study.memory.records()
    first = Events(tmp_path, [])
    for card in records[3].cards[:1]:
        first.write(3, card)
    first.close()
    second = Events(tmp_path, records)
    second.write(3, records[3].cards[0])
    again = {**records[3].cards[-1], "epoch": 3, "images_seen": 240}
    second.write(3, again)
    second.close()
    assert [step for step, _ in curves(tmp_path / "trial-0003")["objective"]] == [80, 160, 240]


def test_a_watch_passes_on_what_it_records(
    unfinished: Invented, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    record = unfinished.study.memory.records()[0]
    events = Events(tmp_path, [])
    seen = Recorded(LineLog(Console()), events)
    seen.phase("searching")
    seen.started(0, {"lora.rank": 4}, False)
    seen.stepped(1, 0.5)
    seen.checkpoint(0, record.cards[0])
    seen.returned(0, MEMORY_FULL)
    seen.ended(record)
    told = capsys.readouterr().out
    assert all(words in told for words in ("searching", "started: rank 4", "epoch  1", "waits", "finished"))
    assert len(curves(tmp_path / "trial-0000")["objective"]) == 1


def test_only_what_was_measured_is_drawn(unfinished: Invented) -> None:
    card = unfinished.study.memory.records()[0].cards[0]
    assert "against_base/flexibility" not in scalars(card)
    bare = {**card, "objective": None, "training_loss": None, "scores": {**card["scores"], "training": None}}
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
