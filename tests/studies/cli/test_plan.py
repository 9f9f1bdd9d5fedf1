"""What ``lorasearch plan`` says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.studies.cli.conftest import Run
from tests.studies.conftest import write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path)


def test_a_study_is_told_in_words(study: Path, run: Run) -> None:
    before = sorted(study.parent.rglob("*"))
    code, out, err = run("plan", study)
    assert (code, err) == (0, "")
    for words in ("small: 8 images train, 2 validate, 2 test.", "The study: 4 trials,", "Memory: ",
                  "Time: unknown without --measure.", "look at least 10 images: 8"):  # fmt: skip
        assert words in out
    assert sorted(study.parent.rglob("*")) == before


def test_json_holds_the_same(study: Path, run: Run) -> None:
    code, out, _ = run("plan", study, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["images"] == {"training": 8, "validation": 2, "test": 2}
    assert facts["trial"]["epochs"] == [2, 4]
    assert facts["trial"]["steps"] == [16, 32]
    assert facts["whole"] == {
        "trials": 4, "images_seen": [128, 128], "checkpoints": [8, 16],
        "file_bytes": 2 * facts["memory"]["lora_parameters"],
    }  # fmt: skip
    assert facts["time"] == {"seconds": None, "readings": []}


def test_the_calculator_needs_no_study(run: Run) -> None:
    code, out, _ = run("plan", "--images", 25)
    assert code == 0
    assert out.startswith("25 images: repeats 20, epochs 10, batch size 2.\n")
    assert "at least 10 images" not in out
    assert "at least 10 images" in run("plan", "--images", 4)[1]
    assert json.loads(run("plan", "--images", 25, "--batch", 1, "--json")[1])["repeats"] == 10


def test_what_fits_on_a_card_is_told(study: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run("plan", study, "--card", 8)
    assert (code, err) == (0, "")
    assert (
        "8 GiB card: 3 trials at a time, data.resolution = 64, compute.gradient_checkpointing = false" in out
    )
    assert "12 GiB card" not in out
    monkeypatch.setattr("studies.commands.cards.at_hand", lambda: None)
    cards = json.loads(run("plan", study, "--json")[1])["cards"]
    assert [card["gib"] for card in cards] == [8, 12, 16, 24]
    monkeypatch.setattr("studies.commands.cards.at_hand", lambda: 6.0)
    (own,) = json.loads(run("plan", study, "--json")[1])["cards"]
    assert (own["gib"], own["trials"], own["offload"]) == (6.0, 3, False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Give either a study file or --images"),
        (("x.toml", "--images", 5), "Give either a study file or --images"),
        (("--images", 5, "--measure"), "--measure needs a study file"),
        (("--images", 5, "--card", 8), "--card needs a study file"),
        (("x.toml", "--card", 0), "is not in the range"),
        (("x.toml", "--batch", 5), "--batch goes with --images"),
        (("nowhere.toml",), "there is no such study file"),
        (("--images", 0), "is not in the range"),
    ],
)
def test_what_cannot_be_is_one_sentence(words: tuple[object, ...], told: str, run: Run) -> None:
    code, out, err = run("plan", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err
