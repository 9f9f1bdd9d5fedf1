"""A transformer in a single file, in its makers' names, in place of the folder's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.bases import build_krea2, build_qwenimage, copy_of
from trainer.bases import base_model
from trainer.bases.base_model import BaseModel
from trainer.bases.errors import BaseModelError
from trainer.plans.base import BasePlan

KREA = {
    "transformer_blocks.": "blocks.",
    "text_fusion.": "txtfusion.",
    "img_in.": "first.",
    "time_embed.linear_1.": "tmlp.0.",
    "time_embed.linear_2.": "tmlp.2.",
    "time_mod_proj.": "tproj.1.",
    "txt_in.norm.weight": "txtmlp.0.scale",
    "txt_in.linear_1.": "txtmlp.1.",
    "txt_in.linear_2.": "txtmlp.3.",
    "final_layer.scale_shift_table": "last.modulation.lin",
    "final_layer.norm.weight": "last.norm.scale",
    "final_layer.linear.": "last.linear.",
    ".attn.to_q.": ".attn.wq.",
    ".attn.to_k.": ".attn.wk.",
    ".attn.to_v.": ".attn.wv.",
    ".attn.to_out.0.": ".attn.wo.",
    ".attn.to_gate.": ".attn.gate.",
    ".attn.norm_q.weight": ".attn.qknorm.qnorm.scale",
    ".attn.norm_k.weight": ".attn.qknorm.knorm.scale",
    ".ff.": ".mlp.",
    ".norm1.weight": ".prenorm.scale",
    ".norm2.weight": ".postnorm.scale",
    ".scale_shift_table": ".mod.lin",
}
"""diffusers' parts of names -> those of Krea's own files."""


def makers(name: str, names: dict[str, str]) -> str:
    for theirs, own in names.items():
        name = name.replace(theirs, own)
    return name


def spoilt(folder: Path, target: Path) -> tuple[Path, dict[str, Tensor]]:
    """A copy of a base without its transformer's weights, and those."""
    copy = copy_of(folder, target)
    (weights,) = (copy / "transformer").glob("*.safetensors")
    tensors = load_file(weights)
    weights.unlink()
    return copy, tensors


@pytest.mark.parametrize(("build", "names"), [(build_krea2, KREA), (build_qwenimage, {})])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_transformer_in_a_file_replaces_the_folders(
    assets: Path,
    tmp_path: Path,
    load_base: Callable[..., BaseModel],
    build: Callable[[Path, Path], Path],
    names: dict[str, str],
    prefix: str,
) -> None:
    whole = build(tmp_path / "whole", assets / "micro-sd")
    folder, tensors = spoilt(whole, tmp_path / "folder")
    file = tmp_path / "transformer.safetensors"
    save_file({prefix + makers(name, names): value for name, value in tensors.items()}, file)
    plan = BasePlan(path=folder, transformer=file)
    base_model.check(plan)
    bases = load_base(whole), base_model.load(plan, device=torch.device("cpu"))
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    said = [
        each.predict(noisy, torch.tensor([300.0]), each.encode_text(["a red heart"], [1]), None)
        for each in bases
    ]
    torch.testing.assert_close(said[0], said[1])
    assert base_model.fingerprint(plan) not in ("", base_model.fingerprint(whole))


def test_a_transformer_of_another_size_is_refused_before_it_is_loaded(assets: Path, tmp_path: Path) -> None:
    folder, tensors = spoilt(build_qwenimage(tmp_path / "whole", assets / "micro-sd"), tmp_path / "folder")
    last = {name: value for name, value in tensors.items() if name.startswith("transformer_blocks.1.")}
    assert last
    more = {name.replace("blocks.1.", "blocks.2."): value.clone() for name, value in last.items()}
    wrong = {
        "longer": tensors | more,
        "shorter": {name: value for name, value in tensors.items() if name not in last},
        "narrower": tensors | {"img_in.weight": tensors["img_in.weight"][:, :1].clone()},
    }
    for name, held in wrong.items():
        file = tmp_path / f"{name}.safetensors"
        save_file(held, file)
        plan = BasePlan(path=folder, transformer=file)
        for refused in (base_model.check, base_model.load):
            with pytest.raises(
                BaseModelError, match=rf"{name}.safetensors: base.transformer holds [\d,]+ values"
            ):
                refused(plan)
    config = folder / "transformer" / "config.json"
    whole = config.read_text()
    config.write_text(whole.replace('"num_layers": 2', '"num_layers": "two"'))
    assert config.read_text() != whole
    with pytest.raises(BaseModelError, match="its transformer's configuration cannot be read"):
        base_model.check(BasePlan(path=folder, transformer=file))
    config.write_text(whole)
    file = tmp_path / "beside.safetensors"
    save_file(tensors | {"text_encoders.qwen.x": torch.zeros(64, 64)}, file)
    base_model.check(BasePlan(path=folder, transformer=file))


def test_what_is_no_fitting_transformer_is_refused_in_one_sentence(assets: Path, tmp_path: Path) -> None:
    folder = build_qwenimage(tmp_path / "base", assets / "micro-sd")
    krea, scaled, strange = (tmp_path / f"{name}.safetensors" for name in ("krea", "scaled", "strange"))
    save_file({"txtfusion.projector.weight": torch.zeros(1, 2)}, krea)
    mark = "transformer_blocks.0.img_mod.1.weight"
    save_file({mark: torch.zeros(2, 2), mark.replace("weight", "weight_scale"): torch.ones(1)}, scaled)
    save_file({"blocks.0.weight": torch.zeros(1)}, strange)
    wrong = {
        krea: r"base.transformer holds the transformer of Krea 2, but base.path is Qwen-Image",
        scaled: r"quantised with scales \(transformer_blocks.0.img_mod.1.weight_scale\)",
        strange: r"no known transformer in this file, whose names begin with 'blocks.0'; it may be one of SD 3",
        tmp_path / "none.safetensors": "there is no such file",
        tmp_path / "pickle.ckpt": "refused",
    }
    for file, words in wrong.items():
        with pytest.raises(BaseModelError, match=words):
            base_model.check(BasePlan(path=folder, transformer=file))
    with pytest.raises(BaseModelError, match=r"SD 1\.x has a U-Net; leave it out"):
        base_model.check(BasePlan(path=assets / "micro-sd", transformer=krea))
    with pytest.raises(BaseModelError, match="wants a diffusers folder of Krea 2, and"):
        base_model.check(BasePlan(path=krea))
