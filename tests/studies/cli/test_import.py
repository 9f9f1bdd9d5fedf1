from __future__ import annotations

import json
import os
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


def test_only_lorasearch_speaks_on_the_terminal(config: Path) -> None:
    config.write_text(
        config.read_text().replace("nonsense = 1", 'optimizer_type = "AdaFactor"')
        + 'optimizer_args = ["scale_parameter=False", "relative_step=False", "warmup_init=False"]\n'
    )
    command = [sys.executable, "-c", "from studies.cli.main import main; main()", "import", str(config)]
    home = str(Path(study_file.__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": home})
    assert done.returncode == 0
    assert all(line.startswith(("not honoured: ", "converted: ")) for line in done.stderr.splitlines())


PRESET = """{"LoRA_type": "Standard", "network_dim": 16, "network_alpha": 8, "epoch": 3, "max_resolution": "64,64",
"optimizer": "AdamW", "optimizer_args": "", "learning_rate": 0.0002, "unet_lr": 0.0002, "text_encoder_lr": 0.0001,
"lr_scheduler": "cosine", "lr_warmup": 5, "train_batch_size": 2, "clip_skip": "2", "caption_extension": ".txt",
"shuffle_caption": true, "keep_tokens": "1", "min_snr_gamma": 5, "noise_offset": 0.03, "seed": "11"}"""
NESTED = """
[[subsets]]
num_repeats = 4
keep_tokens = 1
shuffle_caption = true
image_dir = "img/4_mycat"
[general_args.args]
pretrained_model_name_or_path = "sd15.safetensors"
max_train_epochs = 3
clip_skip = 2
[general_args.dataset_args]
resolution = 64
batch_size = 2
[network_args.args]
network_dim = 8
network_alpha = 4.0
[optimizer_args.args]
optimizer_type = "AdamW"
lr_scheduler = "cosine"
learning_rate = 0.0003
warmup_ratio = 0.05
[optimizer_args.args.optimizer_args]
weight_decay = 0.1
"""


@pytest.mark.parametrize(
    ("name", "text", "rank", "rate", "converted", "unmet"),
    [
        (
            "preset.json",
            PRESET,
            16,
            2e-4,
            "lr_warmup: 5 percent of all steps is a share here: lr_warmup_steps = 0.05",
            [],
        ),
        (
            "easy.toml",
            NESTED,
            8,
            3e-4,
            "optimizer_args.args.warmup_ratio: 0.05 of all steps: schedule.warmup_share",
            ["image_dir: no effect here (--images says which images are shown, and how often)"],
        ),
    ],
)
def test_other_trainers_files_are_read_and_what_is_converted_is_told(
    name: str, text: str, rank: int, rate: float, converted: str, unmet: list[str], config: Path, run: Run
) -> None:
    path = config.parent / name
    path.write_text(text)
    code, _, err = run("import", path, "--base", ASSETS / "micro-sd", "--images", "train", "-o", "out.toml")
    assert code == 0, err
    assert err.splitlines() == [f"converted: {converted}", *(f"not honoured: {line}" for line in unmet)]
    assert f"# Converted:\n#   {converted}\n" in Path("out.toml").read_text()
    study = study_file.load(Path("out.toml"))
    first = study.first[0]
    assert (first["lora.rank"], first["lora.alpha_over_rank"]) == (rank, 0.5)
    assert first["optimiser.unet_lr"] == rate
    assert study.plan["schedule"] == {"name": "cosine", "warmup_share": 0.05}
    assert study.plan["data"]["keep_tokens"] == 1
    assert study.plan["base"]["clip_skip"] == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", '[page.inner]\nrate = 1\n[other]\nrank = "x"\n'),
        ("a.json", '{"recipe": {"inner": {"network_dim": 8}}}'),
        ("a.yaml", "trainer: mine\nsettings: [1, 2]\n"),
        ("a.toml", ""),
    ],
)
def test_a_file_of_which_nothing_is_understood_becomes_no_study(
    name: str, text: str, config: Path, run: Run
) -> None:
    path = config.parent / name
    path.write_text(text)
    code, _, err = run("import", path, "--base", ASSETS / "micro-sd", "--images", "train", "-o", "out.toml")
    assert code == 2
    assert "is one of a training configuration; import reads sd-scripts' TOML" in err
    assert not Path("out.toml").exists()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "p.json",
            '{"LoRA_type": "Standard", "max_resolution": "big"}',
            "width and height, but got 'big' (resolution stands there as max_resolution)",
        ),
        (
            "o.json",
            '{"training_method": "LORA", "ema": "GPU", "ema_decay": "slow"}',
            "ema_decay must be a number, but got 'slow'",
        ),
        (
            "o.json",
            '{"training_method": "LORA", "optimizer": {"optimizer": "CAME"}}',
            "optimizer_type = 'CAME' is not supported; choose among: AdamW",
        ),
        (
            "s.json",
            '{"model_family": "sd1x", "lora_rank": "many"}',
            "network_dim must be a number, but got 'many' (network_dim stands there as lora_rank)",
        ),
    ],
)
def test_what_is_wrong_names_file_field_value_and_choices(
    name: str, text: str, sentence: str, config: Path, run: Run
) -> None:
    path = config.parent / name
    path.write_text(text)
    code, _, err = run("import", path, "--base", ASSETS / "micro-sd", "--images", "train")
    assert code == 2
    (told,) = [line for line in err.splitlines() if sentence in line]
    assert told.startswith(f"error: {path}: ")


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
