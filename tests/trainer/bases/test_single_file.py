"""Single checkpoint files: recognised by their header, loaded offline, equal to the folder they were made from."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests import ldm
from tests.bases import FULL, build_sd, build_sdxl
from trainer.bases import base_model, checkpoint_header, families
from trainer.bases.base_model import BaseModelError
from trainer.bases.conditioning import Framing
from trainer.bases.families import FAMILIES
from trainer.plans.base import BasePlan

NAMES = ("sd1", "sd2", "sdxl")


@pytest.fixture(scope="module")
def folders(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Micro bases with CLIP's whole vocabulary."""
    root, micro = tmp_path_factory.mktemp("full"), assets / "micro-sd"
    return {
        "sd1": build_sd(root / "sd1", micro, second=False, vocabulary=FULL),
        "sd2": build_sd(root / "sd2", micro, second=True, vocabulary=FULL),
        "sdxl": build_sdxl(root / "sdxl", micro, vocabulary=FULL),
    }


@pytest.fixture(scope="module")
def files(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("single")
    return {
        family: ldm.single_file(folder, root / f"{family}.safetensors") for family, folder in folders.items()
    }


@pytest.fixture
def micro_configs(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Micro configurations in place of the shipped ones."""
    micro = {}
    for family, folder in folders.items():
        micro[family] = replace(FAMILIES[family], configs=tmp_path / "configs" / family)
        for file in folder.rglob("*.json"):
            if "tokenizer" not in file.parent.name:
                target = tmp_path / "configs" / family / file.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    monkeypatch.setattr(families, "FAMILIES", micro)


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """No families but these, for sentences that list them."""
    monkeypatch.setattr(families, "FAMILIES", {name: FAMILIES[name] for name in NAMES})


@torch.no_grad()
@pytest.mark.usefixtures("micro_configs")
@pytest.mark.parametrize("family", NAMES)
def test_a_file_is_what_the_folder_is(family: str, folders: dict[str, Path], files: dict[str, Path]) -> None:
    cpu = torch.device("cpu")
    found, wanted = (base_model.load(x[family], device=cpu) for x in (files, folders))
    assert found.identity.family.name == wanted.identity.family.name == family
    assert found.prediction_type == wanted.prediction_type
    for part in ("unet", "vae", *wanted.text_encoders):
        ours, theirs = getattr(found, part).state_dict(), getattr(wanted, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    captions, skips = ["a café, 3 red hearts", "x"], [1, 1]
    told = [base.encode_text(captions, skips) for base in (found, wanted)]
    torch.testing.assert_close(told[0].embeddings, told[1].embeddings, rtol=0, atol=0)
    inputs = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    said = [
        base.predict(
            inputs,
            torch.tensor(500),
            text,
            base.numbers([Framing.whole((64, 64))] * 2, [1.0] * 2),
        )
        for base, text in zip((found, wanted), told, strict=True)
    ]
    torch.testing.assert_close(said[0], said[1], rtol=0, atol=1e-6)


@pytest.mark.usefixtures("micro_configs")
@pytest.mark.parametrize("family", NAMES)
def test_size_step_comes_from_the_familys_configuration(
    family: str, folders: dict[str, Path], files: dict[str, Path]
) -> None:
    assert base_model.size_step(files[family]) == base_model.size_step(folders[family])


@pytest.mark.parametrize(("family", "step"), [("sd1", 64), ("sd2", 64), ("sdxl", 32)])
def test_the_shipped_configurations_say_the_known_steps(
    family: str, step: int, files: dict[str, Path]
) -> None:
    assert base_model.size_step(files[family]) == step
    assert base_model.family(files[family]).name == family


def test_checking_loads_no_weights(files: dict[str, Path], tmp_path: Path) -> None:
    data = files["sd1"].read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes(data[:header])
    os.truncate(bare, len(data))
    base_model.check(bare)


def test_the_fingerprint_is_the_files_own_hash(files: dict[str, Path]) -> None:
    import hashlib

    wanted = hashlib.sha256(files["sd1"].read_bytes()).hexdigest()
    assert base_model.fingerprint(files["sd1"]) == wanted


@pytest.mark.usefixtures("micro_configs")
def test_marks_of_v_prediction_and_zero_terminal_snr_are_heeded(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    file = ldm.single_file(
        folders["sdxl"], tmp_path / "v.safetensors", {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    )
    loaded = base_model.load(file, device=torch.device("cpu"))
    assert loaded.prediction_type == "v_prediction"
    assert loaded.alphas_cumprod[-1] == 0
    loaded = base_model.load(
        BasePlan(path=file, prediction_type="epsilon", zero_terminal_snr=False), device=torch.device("cpu")
    )
    assert loaded.prediction_type == "epsilon"
    assert loaded.alphas_cumprod[-1] > 0


def write(path: Path, names: dict[str, tuple[int, ...]]) -> Path:
    save_file({name: torch.zeros(shape) for name, shape in names.items()}, path)
    return path


CONV = "model.diffusion_model.input_blocks.0.0.weight"
KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
VAE = "first_stage_model.encoder.conv_in.weight"


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"x": (1,)}, "no Stable Diffusion U-Net"),
        ({"x": (1,)}, "whole checkpoint of SD 1.x, SD 2.x or SDXL, or a diffusers folder"),
        ({"lora_unet_x.lora_up.weight": (1, 1)}, "this is a LoRA"),
        ({CONV: (4, 9, 3, 3), KEY: (4, 768)}, "takes 9 channels"),
        ({CONV: (4, 4, 3, 3), KEY: (4, 768), VAE: (1,)}, "text encoder or VAE are missing"),
        ({CONV: (4, 4, 3, 3), KEY: (4, 768), "cond_stage_model.transformer.x": (1,)}, "text encoder or VAE"),
        ({CONV: (4, 4, 3, 3), KEY: (4, 4096)}, "width 4096 belongs to no known family"),
        ({CONV: (4, 4, 3, 3), KEY: (4, 4096)}, "SD 1.x reads 768, SD 2.x 1024 and SDXL 2048."),
        ({CONV: (4, 4, 3, 3), "conditioner.embedders.0.model.ln_final.bias": (1,)}, "refiner"),
        (
            {CONV: (4, 4, 3, 3), "conditioner.embedders.0.model.x": (1,)},
            "SDXL refiner, which takes no LoRA; choose the SDXL base.",
        ),
    ],
)
def test_files_that_are_no_base_model_are_told_apart(
    names: dict[str, tuple[int, ...]], told: str, tmp_path: Path
) -> None:
    with pytest.raises(BaseModelError, match=told):
        base_model.check(write(tmp_path / "x.safetensors", names))


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_broken_file_is_told_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(BaseModelError, match=r"not a whole \.safetensors file"):
        base_model.check(tmp_path / "x.safetensors")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"x")
    with pytest.raises(BaseModelError, match=r"wants a diffusers folder, a hub name or a \.safetensors file"):
        base_model.check(tmp_path / "x.gguf")


@pytest.mark.usefixtures("micro_configs")
@pytest.mark.parametrize("kind", ["folder", "file", "bare file"])
def test_a_separate_vae_replaces_the_bases(
    kind: str, folders: dict[str, Path], files: dict[str, Path], tmp_path: Path
) -> None:
    from diffusers import AutoencoderKL

    other = AutoencoderKL.from_pretrained(folders["sd1"] / "vae")
    with torch.no_grad():
        other.decoder.conv_out.bias += 0.25
    if kind == "folder":
        path = tmp_path / "vae"
        other.save_pretrained(path)
    else:
        path = tmp_path / "vae.safetensors"
        prefix = "first_stage_model." if kind == "file" else ""
        save_file({k: v.contiguous() for k, v in ldm.prefixed(prefix, ldm.vae(other)).items()}, path)
    for base in (folders["sd1"], files["sd1"]):
        plan = BasePlan(path=base, vae=path)
        loaded = base_model.load(plan, device=torch.device("cpu"))
        torch.testing.assert_close(loaded.vae.decoder.conv_out.bias, other.decoder.conv_out.bias)
        assert base_model.fingerprint(plan) == loaded.fingerprint != base_model.fingerprint(base)
        assert loaded.identity.vae_hash


@pytest.mark.parametrize("name", ["vae.pt", "nowhere"])
def test_a_vae_that_cannot_be_used_is_told(name: str, assets: Path, tmp_path: Path) -> None:
    (tmp_path / "vae.pt").write_bytes(b"x")
    with pytest.raises(BaseModelError, match=r"pickled weights|there is no VAE here"):
        base_model.check(BasePlan(path=assets / "micro-sd", vae=tmp_path / name))


def test_a_file_without_a_vae_is_told(assets: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "x.safetensors", {"x": (1,)})
    with pytest.raises(BaseModelError, match="there is no VAE in this file"):
        base_model.check(BasePlan(path=assets / "micro-sd", vae=file))


def test_headers_give_names_and_shapes(tmp_path: Path) -> None:
    assert checkpoint_header.shapes(write(tmp_path / "x.safetensors", {"a": (2, 3), "b": ()})) == {
        "a": (2, 3),
        "b": (),
    }
