from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from studies.spec import study_file
from tests.studies.cli.conftest import Run
from tests.studies.conftest import ASSETS

CONFIG = """\
[model_arguments]
pretrained_model_name_or_path = "{base}"
[dataset_arguments]
train_data_dir = "train"
resolution = "64,64"
[network]
network_dim = 32
network_alpha = 16
unet_lr = "1e-4"
text_encoder_lr = 1e-5
max_train_epochs = 10
output_name = "aki"
output_dir = "./output"
nonsense = 1
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "train" / "3_aki"
    place.mkdir(parents=True)
    for i in range(4):
        (place / f"{i}.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(base=ASSETS / "micro-sd"))
    return path


def test_writes_a_study_that_loads_and_names_what_it_left_out(config: Path, run: Run) -> None:
    code, out, err = run("import", config)
    assert code == 0, err
    assert "Wrote aki.toml" in out
    assert err.splitlines() == [
        "not honoured: output_dir: no effect here (files have their own places in the study's workspace)",
        "not honoured: nonsense: unknown",
    ]
    text = Path("aki.toml").read_text()
    assert "#   nonsense: unknown\n" in text
    study = study_file.load(Path("aki.toml"))
    assert study.study.name == "aki"
    assert study.plan["data"]["folder"] == str(config.parent / "train")
    assert study.budget.images_per_trial == 4 * 3 * 10
    assert study.first[0]["optimiser.unet_lr"] == 1e-4


def test_another_file_is_overwritten_only_by_force(config: Path, run: Run) -> None:
    target = config.parent / "mine.toml"
    target.write_text("precious")
    code, _, err = run("import", config, "-o", target)
    assert code == 2
    assert "--force" in err
    assert target.read_text() == "precious"
    assert run("import", config, "-o", target, "--force")[0] == 0
    assert run("import", config, "-o", target)[0] == 0


def test_concepts_are_written_beside_the_study(config: Path, run: Run) -> None:
    dataset = config.parent / "dataset.toml"
    dataset.write_text(
        '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "train/3_aki"\nclass_tokens = "sks"\n'
    )
    code, _, err = run("import", config, dataset, "-o", "deep/study.toml")
    assert code == 0, err
    (concept,) = json.loads(Path("deep/study.concepts.json").read_text())
    assert concept["instance_prompt"] == "sks"
    study = study_file.load(Path("deep/study.toml"))
    assert study.plan["data"]["concepts"] == str(config.parent / "deep" / "study.concepts.json")


@pytest.mark.parametrize("content", ["this is no TOML", "a = [", "\x00"])
def test_what_is_no_toml_is_told_in_a_sentence(content: str, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "config.toml"
    path.write_text(content)
    code, out, err = run("import", path)
    assert (code, out) == (2, "")
    assert err.count("error: ") == 1
    assert "this is not valid TOML" in err


def test_missing_files_are_told(tmp_path: Path, config: Path, run: Run) -> None:
    assert run("import", tmp_path / "gone.toml")[0] == 2
    code, _, err = run("import", config, tmp_path / "gone.toml")
    assert code == 2
    assert "there is no such file" in err
    assert run("import", tmp_path)[0] == 2


def test_base_and_images_can_be_replaced(config: Path, tmp_path: Path, run: Run) -> None:
    config.write_text(CONFIG.format(base="./gone.ckpt").replace('"train"', '"./elsewhere"'))
    code, _, err = run("import", config)
    assert code == 2
    assert "--base" in err and "--images" in err
    code, _, err = run("import", config, "--base", ASSETS / "micro-sd", "--images", tmp_path / "train")
    assert code == 0, err


def test_two_places_for_images_are_one_too_many(config: Path, run: Run) -> None:
    code, _, err = run("import", config, config, "--images", "train")
    assert code == 2
    assert "keep one" in err


def test_importing_needs_no_torch(config: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from studies.sd_scripts.importing import read\n"
        f"read(Path({str(config)!r}))\n"
        "print([m for m in ('torch', 'optuna') if m in sys.modules])"
    )
    home = Path(study_file.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "text",
    [
        r"D:\models\v.safetensors",
        r"\\nas\share\new.safetensors",
        r"C:\it's\v.safetensors",
        "D:/v.safetensors",
    ],
)
def test_paths_of_windows_stand_in_the_study_as_in_the_configuration(
    text: str, config: Path, run: Run
) -> None:
    vae = text.replace("\\", r"\\")
    config.write_text(config.read_text().replace('"train"', r"'.\train'") + f'vae = "{vae}"')
    code, _, err = run("import", config)
    assert code == 0, err
    study = study_file.load(Path("aki.toml"))
    assert study.plan["base"]["vae"] == text
    assert study.plan["data"]["folder"] == str(config.parent / "train")
    assert study.budget.images_per_trial == 4 * 3 * 10
