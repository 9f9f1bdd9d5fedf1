"""LoRAs whose layers differ in rank and alpha, loaded by diffusers and PEFT: the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from tests.evaluation.conftest import fill
from tests.trainer.lora_files.test_formats import Case, picture, pipeline
from trainer.adapters.bank import Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.lora_files.formats import Format
from trainer.lora_files.layers import from_state

SHAPES = {
    "ranks": Shape(4, 0.35, ("unet",), block_ranks=(("mid_block", 2), ("up_blocks", 8))),
    "text": Shape(4, 0.35, ("unet", "text_encoder"), block_ranks=(("mid_block", 2), ("up_blocks", 8))),
    "convolutions": Shape(4, 0.5, ("unet",), conv_rank=3, conv_scale=0.2),
}


@pytest.fixture(scope="module", params=list(SHAPES))
def mixed(request: pytest.FixtureRequest, load_base: Callable[..., BaseModel], assets: Path) -> Case:
    base = load_base(assets / "micro-sd")
    bank = bank_for(base, 2)
    bank.open(0, SHAPES[request.param], seed=0)
    fill(bank, 0)
    layers = from_state(bank.state(0), bank.scales(0), bank.kernels)
    return Case(assets / "micro-sd", base, bank, layers)


@torch.no_grad()
@pytest.mark.parametrize(("layout", "told"), [("kohya", True), ("diffusers", True), ("diffusers", False)])
def test_diffusers_takes_every_layers_own_alpha(
    mixed: Case, layout: Format, told: bool, tmp_path: Path
) -> None:
    """Also without metadata, which older versions do not read and other tools drop."""
    path = mixed.write(tmp_path, layout)
    if not told:
        path.write_bytes(save(load_file(path)))
    pipe = pipeline(mixed)
    bare = picture(pipe)
    pipe.load_lora_weights(tmp_path, weight_name=path.name, adapter_name="ours")
    drawn = picture(pipe)
    for part in {name.partition(".")[0] for name in mixed.layers}:
        loaded = getattr(pipe, part)
        for name, layer in mixed.layers.items():
            if name.startswith(part + "."):
                inner = loaded.get_submodule(name.partition(".")[2])
                up, down = inner.lora_B["ours"].weight, inner.lora_A["ours"].weight
                theirs = inner.scaling["ours"] * up.flatten(1) @ down.flatten(1)
                wanted = layer.scale * layer.up.flatten(1) @ layer.down.flatten(1)
                torch.testing.assert_close(theirs, wanted, rtol=1e-5, atol=1e-5)
    assert float((drawn - bare).abs().max()) > 0.02
    with mixed.bank.rows([0, 0]):
        ours = picture(pipeline(mixed, banked=True))
    assert float((drawn - ours).abs().max()) <= 1e-3


def test_diffusers_own_files_need_no_alpha_in_any_version(mixed: Case, tmp_path: Path) -> None:
    """All layers of a model have one rank: whichever layer's rank a loader takes for alpha, the scale is 1."""
    tensors = load_file(mixed.write(tmp_path, "diffusers"))
    assert not [key for key in tensors if "alpha" in key]
    ranks: dict[str, set[int]] = {}
    for key, value in tensors.items():
        if key.endswith(".lora_B.weight"):
            ranks.setdefault(key.partition(".")[0], set()).add(value.shape[1])
    widest = dict.fromkeys(ranks, 0)
    for name, layer in mixed.layers.items():
        part = name.partition(".")[0]
        widest[part] = max(widest[part], layer.rank)
    assert ranks == {part: {rank} for part, rank in widest.items()}
