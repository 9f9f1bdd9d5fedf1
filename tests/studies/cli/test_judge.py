"""``lorasearch judge`` as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from search.trial import Reason
from studies.report.choice import explained
from studies.selection.document import (
    Confirmation,
    Considered,
    Files,
    Finalist,
    ImageCounts,
    Key,
    Selection,
    Winner,
)
from studies.selection.document import (
    Run as RunOfFiles,
)
from studies.selection.judged_files import JudgedFiles
from studies.study.trial import Origin
from tests.studies import made
from tests.studies.cli.conftest import Run
from tests.studies.report.test_choice import by_rule


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
    scores, reason = (
        made.card(-0.1),
        Reason("copies", {"level": 5, "level_error": 1, "rise": 6, "rise_error": 1}),
    )
    everyone = tuple(
        Considered(
            trial=i,
            epoch=7 + i,
            images_seen=700 + i,
            rank=4,
            file=f"out/cat-{i}.safetensors",
            scores=scores,
            objective=scores.validation,
            barred=reason if i == 1 else None,
            origin=Origin(run="cat", label=label, unit="epoch"),
        )
        for i, label in enumerate(("7", "8", "last"))
    )
    finalists = tuple(
        Finalist(
            trial=one.trial,
            epoch=one.epoch,
            images_seen=one.images_seen,
            objective_before=scores.validation,
            objective=scores.validation,
            close=True,
            barred=None,
            rounds=1,
            scores=scores,
        )
        for one in (everyone[0], everyone[2])
    )
    selection = Selection(
        name="cat",
        seed=0,
        trials=3,
        rule=by_rule(),
        winner=Winner(**dict(everyone[0])),
        confirmation=Confirmation(separable=False, best=Key(trial=0, epoch=7), rounds=1, finalists=finalists),
        test=scores,
        shares_of_variance={},
        pareto=(),
        candidates=everyone,
        images=ImageCounts(train=9, validation=9, test=8),
        files=Files(base="b", clip=None, resolution=64, runs=(RunOfFiles(run="cat", files=3),)),
    )
    asked = SimpleNamespace(warnings=(Reason.told("look out"),), out=tmp_path / "out")
    judged = JudgedFiles(selection, (), torch.zeros(0), ())
    monkeypatch.setattr("studies.commands.judge_request.examine", lambda options: asked)
    monkeypatch.setattr("studies.commands.judge.judge_files", lambda request, told: judged)
    monkeypatch.setattr(
        "studies.report.files_page.write", lambda path, judged, request, say: path.write_text("page")
    )
    (tmp_path / "out").mkdir()
    words = ("judge", "cat.safetensors", "--base", "b", "--data", "d")
    code, out, err = run(*words)
    assert code == 0
    assert err == "note: look out\n"
    assert "−0.1000 ± 0.0100" in out and "as good, but later" in out
    assert "Best: epoch 7: out/cat-0.safetensors" in out
    assert "On 8 test images, by which nothing was chosen: validation" in out
    assert "cat, 8 is barred: memorisation is 5.0 ± 1.0 points" in out
    assert "cat: Healthy" in out
    table = (tmp_path / "out" / "checkpoints.csv").read_text().splitlines()
    assert len(table) == 1 + 3 and table[0].endswith(",file,run")
    document = json.loads((tmp_path / "out" / "judgement.json").read_text())
    assert document == explained(selection).to_json()
    assert json.loads(run(*words, "--json")[1]) == document
