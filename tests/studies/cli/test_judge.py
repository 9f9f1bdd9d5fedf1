"""``lorasearch judge`` as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search.trial import Reason
from tests.studies.cli.conftest import Run


def test_all_problems_are_told_at_once_before_the_base_is_loaded(
    tmp_path: Path, assets: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.bases.base_model.load", lambda *_: pytest.fail("the base was loaded"))
    pickle = tmp_path / "old.ckpt"
    pickle.write_bytes(b"\x80")
    code, out, err = run(
        "judge", tmp_path / "gone.safetensors", pickle, "--base", assets / "micro-sd", "--data",
        tmp_path / "nowhere", "--clip", "./no-clip", "--resolution", 65,
    )  # fmt: skip
    assert (code, out) == (2, "")
    lines = err.strip().splitlines()
    assert len(lines) == 5 and all(line.startswith("error: ") for line in lines)
    for words in (
        "there is no such file",
        "refused",
        "--resolution must be a multiple",
        "--clip: ./no-clip",
        "nowhere",
    ):
        assert words in err


def test_a_base_that_is_not_there_is_told(tmp_path: Path, run: Run, demo_folder: Path) -> None:
    code, _, err = run(
        "judge", tmp_path / "x.safetensors", "--base", tmp_path / "none", "--data", demo_folder
    )
    assert code == 2
    assert "--base: " in err and "x.safetensors: there is no such file" in err


def test_the_table_names_the_best_epoch_and_the_files_written(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate = {"mean": -0.1, "standard_error": 0.01}
    scores = {"validation": estimate, "clip_image": None, "clip_text": None, "memorisation": None}
    document: dict[str, Any] = {
        "clip": None,
        "runs": [{"run": "cat", "files": 2, "diagnosis": "Healthy."}],
        "images": {"validation": 9, "test": 8, "never_trained_on": True},
        "test": scores,
        "winner": {"label": "epoch 7", "file": "out/cat-000007.safetensors", "reason": "It is the best."},
        "files": [
            {"run": "cat", "label": label, "scores": scores, "objective": estimate, "verdict": verdict}
            for label, verdict in (("7", "best"), ("8", "barred: it copies"), ("last", "as good, but later"))
        ],
    }

    class Found:
        pass

    found: Any = Found()
    found.document = document
    asked: Any = Found()
    asked.case, asked.out = Found(), tmp_path / "out"
    asked.case.images = Found()
    asked.case.images.warnings = (Reason.told("look out"),)
    monkeypatch.setattr("studies.commands.judge.examine", lambda request: asked)
    monkeypatch.setattr("studies.selection.judgement.reach", lambda case, told: found)
    monkeypatch.setattr("studies.selection.judgement.csv", lambda document: b"run\n")
    monkeypatch.setattr(
        "studies.report.judged_page.write", lambda path, judged, case, say: path.write_text("page")
    )
    (tmp_path / "out").mkdir()
    words = ("judge", "cat.safetensors", "--base", "b", "--data", "d")
    code, out, err = run(*words)
    assert code == 0
    assert err == "note: look out\n"
    assert "−0.1000 ± 0.0100" in out and "as good, but later" in out
    assert "Best: epoch 7: out/cat-000007.safetensors" in out
    assert "On 8 test images, by which nothing was chosen: validation" in out
    assert "cat, 8 is barred: it copies" in out
    assert (tmp_path / "out" / "checkpoints.csv").read_text() == "run\n"
    assert json.loads((tmp_path / "out" / "judgement.json").read_text()) == document
    assert json.loads(run(*words, "--json")[1]) == document
