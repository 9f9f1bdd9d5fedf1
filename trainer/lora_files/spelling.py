"""How programs spell the layers of a base model, and the tensors that a LoRA has there (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainer.bases.family import DENOISER
from trainer.lora_files.kohya import Names

_DENOISER = ("lora_unet_", "oft_unet_", "lycoris_", "diffusion_model_", "")
"""What names of the denoiser's layers begin with: kohya's, its OFT's, SimpleTuner's, ComfyUI's; diffusers wrote none up
to 0.13. Its folder's name, diffusers' and OneTrainer's, comes with the family."""
_TEXT = {
    "text_encoder": (
        "text_encoder_",
        "clip_l_",
        "text_encoders_clip_l_transformer_",
        "text_encoders_clip_h_transformer_",
    ),
    "text_encoder_2": ("text_encoder_2_", "clip_g_", "text_encoders_clip_g_transformer_"),
}
"""The same of text encoders: diffusers', OneTrainer's, ComfyUI's; kohya's are the family's."""
_PROJECTIONS = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
"""What older diffusers called a text encoder's projections."""

_FACTORS = {
    "lora_down.weight": (
        ".lora_down.weight",
        ".lora_A.weight",
        ".lora_A.default.weight",
        ".lora.down.weight",
        ".lora_linear_layer.down.weight",
        "_lora.down.weight",
    ),
    "lora_up.weight": (
        ".lora_up.weight",
        ".lora_B.weight",
        ".lora_B.default.weight",
        ".lora.up.weight",
        ".lora_linear_layer.up.weight",
        "_lora.up.weight",
    ),
    "lora_up.bias": (".lora_up.bias", ".lora_B.bias", ".lora_B.default.bias"),
    "magnitude": (
        ".lora_magnitude_vector",
        ".lora_magnitude_vector.weight",
        ".lora_magnitude_vector.default",
        ".lora_magnitude_vector.default.weight",
    ),
}
"""The one name of a tensor here, and what keys of it end in."""
_LYCORIS = (
    *("lora_mid.weight", "alpha", "dora_scale", "scalar", "diff", "diff_b", "w_norm", "b_norm", "on_input"),
    *(f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")),
    *(f"lokr_{name}" for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")),
    *(f"{name}.weight" for name in ("a1", "a2", "b1", "b2")),
    *("oft_blocks", "rescale"),
)
_PEFT = {"ia3_l": (".ia3_l",), "oft_R": (".oft_R.weight",), "boft_R": (".boft_R",), "boft_s": (".boft_s",)}
"""PEFT's adapters that multiply weights."""
_ENDINGS = {ending: name for name, endings in (_FACTORS | _PEFT).items() for ending in endings} | {
    f".{name}": name for name in _LYCORIS
}
_SCALED = ".weight", ".on_input"
"""IA3's tensors: the first would be any model's, were it not for the second."""


def layers(names: Names, known: Iterable[str]) -> dict[str, str]:
    """Every spelling of a layer, with underscores for dots -> the layer.

    Args:
        names: how kohya calls the base model's layers.
        known: the layers, ``<part>.<path>``.
    """
    found: dict[str, str] = {}
    for layer in known:
        part, _, path = layer.partition(".")
        spelled = _of_denoiser(path, names) if part == DENOISER else _of_text(part, path, names)
        found |= dict.fromkeys(spelled, layer)
    return found


def tensor(key: str, keys: Iterable[str]) -> tuple[str, str] | None:
    """A key's layer, as ``layers`` spells it, and the tensor's name; None if no LoRA has such a key.

    Args:
        key: of a file.
        keys: all of them, a set or mapping.
    """
    weight, mark = _SCALED
    if key.endswith(weight) and key.removesuffix(weight) + mark in keys:
        return _flat(key.removesuffix(weight)), "weight"
    endings = [ending for ending in _ENDINGS if key.endswith(ending)]
    if not endings:
        return None
    longest = max(endings, key=len)
    return _flat(key.removesuffix(longest)), _ENDINGS[longest]


def _flat(layer: str) -> str:
    return layer.replace(".processor.", ".").replace(".", "_")


def _of_denoiser(path: str, names: Names) -> Iterator[str]:
    folder = names.folder(DENOISER)
    paths = {path, path.removesuffix(".0") if path.endswith(".to_out.0") else path, names.sgm(path)}
    for spelled in paths - {None}:
        for prefix in (*_DENOISER, f"{folder}_", f"lora_{folder}_"):
            yield prefix + _flat(str(spelled))


def _of_text(part: str, path: str, names: Names) -> Iterator[str]:
    bare = path.removeprefix("text_model.")
    head, _, last = bare.rpartition(".")
    older = f"{head}.{_PROJECTIONS[last]}" if last in _PROJECTIONS else bare
    for prefix in (*_TEXT[part], *_kohya_prefixes(part, names)):
        for spelled in (bare, older):
            yield prefix + _flat(spelled)
            yield f"{prefix}text_model_{_flat(spelled)}"


def _kohya_prefixes(part: str, names: Names) -> Iterator[str]:
    """The family's own, and of a family with one text encoder also the one that tools for SDXL write."""
    encoders = names.family.text_encoders
    for encoder in encoders:
        if encoder.part == part:
            yield encoder.kohya_prefix.removesuffix("text_model_")
    if len(encoders) == 1:
        yield "lora_te1_"
