"""Base models that cannot be trained on, or should not be opened."""

from __future__ import annotations

import json
import shutil
import zipfile

from tests.bad_input.scene import Bad, Scene, Words, entry, tensor_file

_UNET = "model.diffusion_model.input_blocks.0.0.weight"


def _missing(scene: Scene) -> Words:
    return ["run", scene.on_base("/nowhere/sd")]


def _no_hub(scene: Scene) -> Words:
    return ["run", scene.on_base("nobody/nothing")]


def _pickle(scene: Scene) -> Words:
    return ["run", scene.on_base(scene.write("model.ckpt", b"\x80\x02}q\x00."))]


def _zip(scene: Scene) -> Words:
    path = scene.root / "model.safetensors"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return ["run", scene.on_base(path)]


def _pickled_part(scene: Scene) -> Words:
    base = scene.base()
    for file in (base / "unet").glob("*.safetensors"):
        file.unlink()
    scene.write("sd/unet/diffusion_pytorch_model.bin", b"\x80\x02}q\x00.")
    return ["run", scene.on_base(base)]


def _cut_part(scene: Scene) -> Words:
    base = scene.base()
    (file,) = (base / "unet").glob("*.safetensors")
    data = file.read_bytes()
    scene.write(f"sd/unet/{file.name}", data[: len(data) // 2])
    return ["run", scene.on_base(base)]


def _index_that_climbs(scene: Scene) -> Words:
    base = scene.base()
    index = {"weight_map": {"conv_in.weight": "../../../evil.bin"}}
    scene.write("sd/unet/diffusion_pytorch_model.safetensors.index.json", json.dumps(index))
    return ["run", scene.on_base(base)]


def _other_family(scene: Scene) -> Words:
    base = scene.base()
    scene.write("sd/model_index.json", '{"_class_name": "CogVideoXPipeline"}')
    return ["run", scene.on_base(base)]


def _no_json(scene: Scene) -> Words:
    base = scene.base()
    scene.write("sd/model_index.json", "{")
    return ["run", scene.on_base(base)]


def _no_vae(scene: Scene) -> Words:
    base = scene.base()
    shutil.rmtree(base / "vae")
    return ["run", scene.on_base(base)]


def _inpainting(scene: Scene) -> Words:
    base = scene.base()
    config = json.loads((base / "unet" / "config.json").read_text()) | {"in_channels": 9}
    scene.write("sd/unet/config.json", json.dumps(config))
    return ["run", scene.on_base(base)]


def _no_unet(scene: Scene) -> Words:
    content = tensor_file({"x": entry([2], 0, 8)}, bytes(8))
    return ["run", scene.on_base(scene.write("x.safetensors", content))]


def _cut_file(scene: Scene) -> Words:
    content = tensor_file({_UNET: entry([320, 4, 3, 3], 0, 46080)}, bytes(100))
    return ["run", scene.on_base(scene.write("x.safetensors", content))]


def _lora_as_base(scene: Scene) -> Words:
    content = tensor_file({"lora_unet_x.alpha": entry([], 0, 4)}, bytes(4))
    return ["run", scene.on_base(scene.write("x.safetensors", content))]


def _resolution(scene: Scene) -> Words:
    return ["run", scene.study("resolution = 64", "resolution = 60")]


def _vae(scene: Scene) -> Words:
    scene.write("vae.pt", b"\x80\x02")
    return ["run", scene.study("[plan.data]", 'vae = "vae.pt"\n[plan.data]')]


BAD = [
    Bad("no base model there", _missing, ("/nowhere/sd", "base.path", "diffusers folder")),
    Bad("a hub name that cannot be fetched", _no_hub, ("nobody/nothing", "hub cache", "path")),
    Bad("a pickle checkpoint", _pickle, ("model.ckpt", "base.path", "can run code", "convert")),
    Bad("a pickle named safetensors", _zip, ("model.safetensors", "pickle", "could run code")),
    Bad(
        "a folder with pickled weights",
        _pickled_part,
        ("unet", "pytorch_model.bin", "can run code", "convert"),
    ),
    Bad("a folder with half a U-Net", _cut_part, ("unet", "not a whole .safetensors", "download")),
    Bad(
        "an index that leads elsewhere",
        _index_that_climbs,
        ("index.json", "../../../evil.bin", "this folder only"),
    ),
    Bad(
        "another family of models",
        _other_family,
        ("model_index.json", "'CogVideoXPipeline'", "StableDiffusionPipeline"),
    ),
    Bad("a broken model_index.json", _no_json, ("model_index.json", "not valid JSON", "restore")),
    Bad("a base without VAE", _no_vae, ("sd", "lacks the folder vae/")),
    Bad("an inpainting model", _inpainting, ("9 channels", "must take 4")),
    Bad("a file without U-Net", _no_unet, ("x.safetensors", "no Stable Diffusion U-Net", "whole checkpoint")),
    Bad("a checkpoint cut off", _cut_file, ("x.safetensors", "cut off", "download it again")),
    Bad("a LoRA as base", _lora_as_base, ("x.safetensors", "this is a LoRA", "whole checkpoint")),
    Bad("a size that does not halve", _resolution, ("data.resolution", "multiple of", "60")),
    Bad("a pickled VAE", _vae, ("vae.pt", "base.vae", "can run code", "convert")),
]
