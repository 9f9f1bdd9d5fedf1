"""LoRA files of strangers."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

from tests.bad_input.scene import Bad, Scene, Words, entry, tensor_file

_STEM = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
_DOWN, _UP, _ALPHA = (f"{_STEM}.{end}" for end in ("lora_down.weight", "lora_up.weight", "alpha"))


def _bad(name: str, content: Callable[[], bytes], *says: str) -> Bad:
    def arrange(scene: Scene) -> Words:
        return scene.judge(scene.write("x.safetensors", content()))

    return Bad(name, arrange, ("x.safetensors", *says))


def _pair(rank: int, width: int = 96, alpha: float = 1.0) -> bytes:
    size = 4 * rank * width
    header = {
        _DOWN: entry([rank, width], 0, size),
        _UP: entry([width, rank], size, 2 * size),
        _ALPHA: entry([], 2 * size, 2 * size + 4),
    }
    return tensor_file(header, bytes(2 * size) + struct.pack("<f", alpha))


def _half_of_loha() -> bytes:
    names = ("hada_w1_a", "hada_w2_a")
    header = {f"{_STEM}.{name}": entry([96, 1], 384 * i, 384 * (i + 1)) for i, name in enumerate(names)}
    return tensor_file(header, bytes(768))


def _strange_beside(name: str) -> bytes:
    header = {
        _DOWN: entry([1, 96], 0, 384),
        _UP: entry([96, 1], 384, 768),
        name: entry([1], 768, 772),
    }
    return tensor_file(header, bytes(772))


def _twice() -> bytes:
    one = json.dumps({"a": entry([1], 0, 4)})[1:-1]
    return tensor_file(f"{{{one}, {one}}}".encode(), bytes(4))


def _none(scene: Scene) -> Words:
    return scene.judge("gone.safetensors")


def _pickle(scene: Scene) -> Words:
    return scene.judge(scene.write("x.pt", b"\x80\x02}q\x00."))


def _folder(scene: Scene) -> Words:
    scene.write("lora/readme.txt", "x")
    return scene.judge(scene.root / "lora")


def _expression(scene: Scene) -> Words:
    path = "base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    header = {
        f"{path}.lora_A.weight": entry([1, 64], 0, 256),
        f"{path}.lora_B.weight": entry([64, 1], 256, 512),
    }
    scene.write("lora/unet/adapter_model.safetensors", tensor_file(header, bytes(512)))
    settings = {"r": 1, "lora_alpha": 1, "alpha_pattern": {"(a+)+$": 2}}
    scene.write("lora/unet/adapter_config.json", json.dumps(settings))
    return scene.judge(scene.root / "lora")


def _start(scene: Scene) -> Words:
    scene.write("x.bin", b"\x80\x02")
    scene.study('"lora.rank" = { choices = [2, 4] }\n')
    return ["run", scene.study("[budget]", '[plan.lora]\nstart = "x.bin"\n[budget]')]


def _merged(scene: Scene) -> Words:
    scene.write("x.safetensors", tensor_file(b"[]"))
    return ["run", scene.study("[plan.data]", 'loras = [{ file = "x.safetensors" }]\n[plan.data]')]


BAD = [
    Bad("no LoRA file there", _none, ("gone.safetensors", "no such file")),
    Bad("a pickled LoRA", _pickle, ("x.pt", "can run code", "convert")),
    Bad("a folder without a LoRA", _folder, ("lora", "adapter_config.json")),
    _bad("an empty LoRA file", lambda: b"", "longer than the file"),
    _bad("a zip archive named safetensors", lambda: b"PK\x03\x04" + bytes(60), "pickle", "could run code"),
    _bad("a header longer than the file", lambda: tensor_file(b"{}", length=2**60), "longer than the file"),
    _bad("a header that is no JSON", lambda: tensor_file(b"{nope"), "no JSON"),
    _bad("a header that is a list", lambda: tensor_file(b"[]"), "no table"),
    _bad("a header nested without end", lambda: tensor_file(b"[" * 100_000), "nested too deeply"),
    _bad("a tensor named twice", _twice, "'a'", "twice"),
    _bad(
        "a tensor without offsets",
        lambda: tensor_file({"a": {"dtype": "F32", "shape": [1]}}),
        "'a'",
        "data_offsets",
    ),
    _bad(
        "an unknown type of numbers",
        lambda: tensor_file({"a": entry([1], 0, 4, "F7")}, bytes(4)),
        "'a'",
        "'F7'",
    ),
    _bad("a shape below zero", lambda: tensor_file({"a": entry([-1], 0, 4)}, bytes(4)), "'a'", "shape"),
    _bad(
        "a tensor outside the file", lambda: tensor_file({"a": entry([9], 0, 36)}, bytes(4)), "'a'", "outside"
    ),
    _bad(
        "a shape that lies",
        lambda: tensor_file({"a": entry([10**6, 10**6], 0, 4)}, bytes(4)),
        "'a'",
        "4 bytes",
    ),
    _bad(
        "tensors that overlap",
        lambda: tensor_file({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        "'b'",
        "overlaps",
    ),
    _bad("a gap between tensors", lambda: tensor_file({"a": entry([1], 4, 8)}, bytes(8)), "'a'", "gap"),
    _bad("bytes behind the last tensor", lambda: tensor_file({"a": entry([1], 0, 4)}, bytes(99)), "99"),
    _bad("no LoRA at all", lambda: tensor_file({"a": entry([1], 0, 4)}, bytes(4)), "no keys of a LoRA"),
    _bad("a LoRA for another base", lambda: _pair(2, 768), "768", "another base"),
    _bad("an absurd rank", lambda: _pair(5000), "rank 1 to 1024"),
    _bad("an alpha that is no number", lambda: _pair(2, alpha=float("nan")), "alpha", "finite"),
    _bad("half a LoHa", _half_of_loha, "not hada_w1_b", "LoHa"),
    _bad(
        "a tensor of another kind",
        lambda: _strange_beside(f"{_STEM}.q_layer.weight"),
        "1 of its 3 keys are not understood",
        "q_layer",
    ),
    _bad(
        "a layer of another model",
        lambda: _strange_beside("transformer.blocks.0.attn.lora_A.weight"),
        "1 of its 3 keys name no layer",
        "transformer.blocks.0",
    ),
    _bad(
        "a layer of single numbers",
        lambda: tensor_file({f"{_STEM}.diff": entry([], 0, 4)}, bytes(4)),
        "diff has the shape ()",
    ),
    _bad(
        "half a layer",
        lambda: tensor_file({_DOWN: entry([1, 64], 0, 256)}, bytes(256)),
        "only its down factor",
    ),
    _bad(
        "whole numbers as weights",
        lambda: tensor_file(
            {_DOWN: entry([1, 64], 0, 64, "I8"), _UP: entry([64, 1], 64, 128, "I8")}, bytes(128)
        ),
        "floating type",
        "int8",
    ),
    Bad("an expression in alpha_pattern", _expression, ("lora", "'(a+)+$'", "expression")),
    Bad("a pickle to start from", _start, ("lora.start", "x.bin", "can run code", "convert")),
    Bad("a broken file to merge", _merged, ("base.loras", "x.safetensors", "no table")),
]
