"""What ``lorasearch train`` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.cli.conftest import Run
from tests.studies.conftest import write_study
from trainer.lora_files import file


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path, images=48)


def test_a_study_s_plan_is_trained_with_the_values_that_are_set(
    study: Path, tmp_path: Path, run: Run
) -> None:
    words = ("train", study, "--out", tmp_path / "out", "--set", "lora.rank=3", "--set", "data.batch_size=4")
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert "note: what the study searches takes the plan's defaults: optimiser.unet_lr = 0.0001, " in out
    assert "lora.rank" not in out
    assert "epoch 1/2: 24 images seen, 6 steps, training loss 0." in out
    assert out.endswith(f"Trained: {tmp_path / 'out' / 'small.safetensors'}\n")
    facts = file.read(tmp_path / "out" / "small.safetensors").metadata
    assert (facts["ss_network_dim"], facts["ss_total_batch_size"], facts["ss_seed"]) == ("3", "4", "5")
    code, out, _ = run(*words)
    assert code == 0
    assert "epoch 1/2" not in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere.toml", "--out", "x"), "there is no such file"),
        (("small.toml",), "Missing option '--out'"),
        (("small.toml", "--out", "x", "--set", "lora.rank"), "give a field and its value"),
        (("small.toml", "--out", "small.toml"), "small.toml"),
        (("small.toml", "--out", "x", "--set", "lora.start=gone.safetensors"), "lora.start: "),
        (
            ("small.toml", "--out", "x", "--set", "lora.algorithm=boft", "--set", "lora.rank=4"),
            "lora.rank = 4 does not fit lora.algorithm = 'boft'",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(
    study: Path, words: tuple[str, ...], told: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    code, _, err = run("train", *words)
    assert code == 2
    assert told in err
    assert "Traceback" not in err
