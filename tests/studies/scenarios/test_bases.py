"""Studies on other base models than micro-sd."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from studies.errors import StudyError
from studies.spec import study_file
from studies.study.beginning import begin, reopen
from tests.bases import (
    build_chroma,
    build_flux,
    build_flux2,
    build_krea2,
    build_qwenimage,
    build_sd3,
    build_zimage,
)
from tests.studies.conftest import ASSETS, StudyMaker
from tests.studies.runner.test_runner import run
from tests.studies.spec.test_study_file import GOOD
from trainer.adapters.bank import Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.lora_files import merging
from trainer.lora_files.file import slot_keys, write
from trainer.plans.base import MergedLora

Maker = Callable[..., Path]
ALGORITHMS = ("lora", "full", "dylora")


def based_on(study: Path, base: Path, *changes: tuple[str, str]) -> Path:
    """The study with another base model and other changes of its text."""
    text = study.read_text().replace(f'path = "{ASSETS}/micro-sd"', f'path = "{base}"')
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    study.write_text(text)
    return study


def test_an_sdxl_study_trains_judges_confirms_and_writes_sdxl_files(
    small_study: StudyMaker, micro_sdxl: Path, tmp_path: Path
) -> None:
    study = based_on(
        small_study(trials=2, images=16),
        micro_sdxl,
        ('"lora.text_encoder" = { choices = [true, false] }\n', ""),
        ("[budget]", "[plan.lora]\ntext_encoder = true\n[budget]"),
    )
    run(study, tmp_path / "ws")
    selection = json.loads((tmp_path / "ws" / "selection.json").read_text())
    assert {"winner", "confirmation", "test"} <= selection.keys()
    with safe_open(tmp_path / "ws" / "best.safetensors", framework="pt") as file:
        keys, facts = set(file.keys()), file.metadata()
    assert facts["ss_base_model_version"] == "sdxl_base_v1-0"
    assert {"_".join(key.split("_")[:2]) for key in keys} == {"lora_unet", "lora_te1", "lora_te2"}
    assert any(key.startswith("lora_unet_input_blocks_4_1_") for key in keys)


@pytest.fixture(scope="module")
def micro_sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_sd3(tmp_path_factory.mktemp("bases") / "micro-sd3", ASSETS / "micro-sd")


@pytest.mark.parametrize(
    ("build", "version", "architecture", "layer"),
    [
        (build_sd3, "sd3", "stable-diffusion-3", "transformer_blocks.0.attn.to_q"),
        (build_flux, "flux1", "flux-1-dev", "single_transformer_blocks.0.attn.to_q"),
        (build_zimage, "z-image", "z-image", "layers.0.attention.to_q"),
        (build_flux2, "flux2", "flux-2-klein", "single_transformer_blocks.0.attn.to_out"),
        (build_qwenimage, "qwen-image", "qwen-image", "transformer_blocks.0.attn.to_q"),
        (build_krea2, "krea2", "krea-2", "text_fusion.layerwise_blocks.0.attn.to_q"),
        (build_chroma, "chroma", "chroma", "single_transformer_blocks.0.attn.to_q"),
    ],
    ids=["sd3", "flux", "zimage", "flux2", "qwenimage", "krea2", "chroma"],
)
def test_a_flow_matching_study_differs_from_one_on_sdxl_by_its_base_alone(
    build: Callable[[Path, Path], Path],
    version: str,
    architecture: str,
    layer: str,
    small_study: StudyMaker,
    tmp_path: Path,
) -> None:
    trains_text = build in (build_sd3, build_flux)
    text = '"lora.text_encoder" = { choices = [true, false] }\n' if trains_text else ""
    study = based_on(
        small_study(trials=2, images=16),
        build(tmp_path / "base", ASSETS / "micro-sd"),
        ('"lora.text_encoder" = { choices = [true, false] }\n', text),
    )
    run(study, tmp_path / "ws")
    selection = json.loads((tmp_path / "ws" / "selection.json").read_text())
    assert {"winner", "confirmation", "test"} <= selection.keys()
    with safe_open(tmp_path / "ws" / "best.safetensors", framework="pt") as file:
        keys, facts = set(file.keys()), file.metadata()
    assert facts["ss_base_model_version"] == version
    assert facts["modelspec.architecture"] == f"{architecture}/lora"
    assert f"transformer.{layer}.lora_A.weight" in keys


def test_a_study_over_algorithms_on_a_base_with_a_merged_lora_is_judged_and_chosen(
    small_study: StudyMaker, load_base: Callable[..., BaseModel], tmp_path: Path
) -> None:
    bank, path = bank_for(base := load_base(ASSETS / "micro-sd"), 1), tmp_path / "style.safetensors"
    bank.open(0, Shape(2, 1.0, ("unet", "text_encoder")), 0)
    bank.load(0, {name: torch.full(v.shape, 0.02) for name, v in bank.state(0).items()})
    write(path, slot_keys(bank, 0, base.kohya_names), {}, "no")
    study = based_on(
        small_study(trials=3, images=16),
        ASSETS / "micro-sd",
        ("[plan.data]", 'loras = [{ file = "style.safetensors", weight = 0.5 }]\n[plan.data]'),
        ('"lora.rank" = { choices = [2, 4] }', '"lora.algorithm" = { choices = ["lora", "full", "dylora"] }'),
        ("[budget]", "[plan.lora]\nrank = 4\nalgorithm_args = { dylora = { block_size = 2 } }\n[budget]"),
    )
    recipes = (
        f'\n[[first]]\n"lora.algorithm" = "{name}"\n"lora.text_encoder" = true\n' for name in ALGORITHMS
    )
    more = (
        '"optimiser.unet_lr" = 1e-3\n"optimiser.name" = "adamw"\n"data.batch_size" = 2\n"data.repeats" = 1\n'
    )
    study.write_text(study.read_text() + "".join(recipe + more for recipe in recipes))
    run(study, tmp_path / "ws")
    records = reopen(tmp_path / "ws").memory.records()
    assert [record.values["lora.algorithm"] for record in records] == list(ALGORITHMS)
    assert all(record.state == "finished" and record.cards for record in records)
    stamps, kinds = set(), []
    for record in records:
        with safe_open(tmp_path / "ws" / record.cards[0]["file"], framework="pt") as file:
            stamps.add(file.metadata()["ss_new_sd_model_hash"])
            kinds.append({key.partition(".")[2] for key in file.keys()})  # noqa: SIM118
    lora = {"lora_down.weight", "lora_up.weight", "alpha"}
    assert kinds == [lora, {"diff", "diff_b"}, lora]
    assert stamps == {merging.fingerprint(base.identity.model_hash, (MergedLora(file=path, weight=0.5),))}
    assert stamps != {base.identity.model_hash}
    assert json.loads((tmp_path / "ws" / "selection.json").read_text())["winner"]


@pytest.mark.parametrize(
    ("base", "change", "told"),
    [
        ("sdxl", ('"lora.rank"', '"base.clip_skip" = { choices = [1, 2] }\n"lora.rank"'), "SDXL ignores it"),
        ("sdxl", ("[plan.data]", "clip_skip = 3\n[plan.data]"), "base.clip_skip = 3: SDXL ignores it"),
        ("sdxl", ("resolution = 64", "resolution = 72"), "must be a multiple of 16"),
        (
            "sd1",
            ('"lora.rank"', '"optimiser.text2_lr_over_unet_lr" = { low = 0.1, high = 1.0 }\n"lora.rank"'),
            "SD 1.x has one text encoder",
        ),
        ("sd1", ("[plan.data]", "zero_terminal_snr = true\n[plan.data]"), "needs v-prediction"),
        ("sd1", ("[budget]", '[plan.compute]\ndevice = "cuda"\n[budget]'), "finds no CUDA device"),
        ("nowhere", ("[plan.data]", "[plan.data]"), "there is no base model here"),
        (
            "sd3",
            ("[budget]", "[plan.noise]\nmin_snr_gamma = 5\n[budget]"),
            "noise.min_snr_gamma = 5.0: this weighs",
        ),
        (
            "sd3",
            ("[budget]", "[plan.noise]\nguidance = 3.5\n[budget]"),
            "noise.guidance = 3.5: this is told to bases",
        ),
        (
            "sd3",
            ("[budget]", "[plan.lora]\nconv_rank = 4\n[budget]"),
            "lora.conv_rank = 4: this is of 3x3 convolutions",
        ),
        ("sd3", ("[plan.data]", "zero_terminal_snr = true\n[plan.data]"), "ends in pure noise anyway"),
        (
            "sd3",
            ("[plan.data]", 'prediction_type = "epsilon"\n[plan.data]'),
            "SD 3 predicts 'flow'; leave it out",
        ),
        ("sd3", ("resolution = 64", "resolution = 68"), "must be a multiple of 8"),
        (
            "sd3",
            ('"lora.rank"', '"noise.offset" = { low = 0.0, high = 0.1 }\n"lora.rank"'),
            "noise.offset = 0.1: this mends a diffusion",
        ),
        (
            "sd1",
            ('"lora.rank"', '"noise.timestep_shift" = { low = 1.0, high = 6.0 }\n"lora.rank"'),
            "noise.timestep_shift = 1.0: this is of flow-matching bases",
        ),
        (
            "sd1",
            ('"lora.rank"', '"lora.layers" = { choices = ["default", "all"] }\n"lora.rank"'),
            "lora.layers = 'all': this is of transformers",
        ),
    ],
)
def test_what_a_base_cannot_do_is_told_before_training(
    base: str,
    change: tuple[str, str],
    told: str,
    small_study: StudyMaker,
    micro_sdxl: Path,
    micro_sd3: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bases = {
        "sdxl": micro_sdxl,
        "sd1": ASSETS / "micro-sd",
        "sd3": micro_sd3,
        "nowhere": tmp_path / "nowhere",
    }
    study = based_on(small_study(), bases[base], change)
    with pytest.raises(StudyError) as caught:
        begin(study, tmp_path / "ws")
    assert sum(told in problem for problem in caught.value.problems) == 1


def test_a_changed_vae_is_a_changed_base(small_study: StudyMaker, tmp_path: Path) -> None:
    study = small_study()
    begin(study, tmp_path / "ws")
    based_on(study, ASSETS / "micro-sd", ("[plan.data]", f'vae = "{ASSETS}/micro-sd/vae"\n[plan.data]'))
    with pytest.raises(StudyError, match="base model has changed"):
        begin(study, tmp_path / "ws")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("base", "/data/base"),
        ("org/model", "org/model"),
        ("./org/model", "/data/org/model"),
        ("models/base.safetensors", "/data/models/base.safetensors"),
        ("/abs/base", "/abs/base"),
    ],
)
def test_hub_names_stay_as_they_are_and_paths_are_resolved(path: str, found: str) -> None:
    text = GOOD.replace('path = "base"', f'path = "{path}"\nvae = "a/vae"')
    base = study_file.parse(text, Path("/data")).plan["base"]
    assert base == {"path": found, "vae": "/data/a/vae"}


def test_a_folder_that_reads_like_a_hub_name_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "org" / "model").mkdir(parents=True)
    text = GOOD.replace('path = "base"', 'path = "org/model"')
    assert study_file.parse(text, tmp_path).plan["base"]["path"] == str(tmp_path / "org" / "model")
