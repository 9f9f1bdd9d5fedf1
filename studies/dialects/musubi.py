"""musubi-tuner: sd-scripts' keys for other models, with a data set file of its own (kohya-ss/musubi-tuner 30c658c)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.dialects import own
from studies.dialects.translation import Foreign, Translation, asks

MARKS = ("dit", "dit_high_noise", "image_directory", "video_directory")
_MODEL = "a diffusers folder holds all parts of the base model, and plan.compute says how they are held"
_IDLE = {
    **dict.fromkeys(
        ("dit*", "text_encoder*", "t5*", "clip*", "vae*", "fp8_*", "blocks_to_swap", "block_swap_*", "split_attn",
         "flash*", "sage_attn", "task", "img_in_*", "use_pinned*", "gradient_checkpointing_cpu*",
         "compile*", "dynamo_*", "cuda_*", "disable_numpy_memmap", "one_frame*", "latent_window_size",
         "num_timestep_buckets", "preserve_distribution_shape"),
        _MODEL,
    ),
    "guidance_scale": "it is for videos",
    "show_timesteps": "it trains nothing",
    "metadata_*": "the study keeps its own records",
}  # fmt: skip
_DEFAULTS = {"timestep_sampling": "sigma", "discrete_flow_shift": 1.0, "weighting_scheme": "none"}
_MIXED = {"qinglong_flux": "flux_shift", "qinglong_qwen": "qwen_shift"}
_SUBSET = (
    "num_repeats",
    "caption_extension",
    "resolution",
    "batch_size",
    "enable_bucket",
    "bucket_no_upscale",
)


def translated(table: Mapping[str, Any]) -> Translation:
    """What a configuration says; its base model lies in parts, so that a whole one is given by --base."""
    said = own.translated({key: value for key, value in table.items() if key not in ("general", "datasets")})
    source, out = Foreign(said.values), Translation("musubi-tuner", unmet=said.unmet)
    module = source.text("network_module", "networks.lora")
    if module.startswith("networks.lora_"):
        out.put("network_module", "networks.lora")
        out.convert("network_module", f"{module!r} is a plain LoRA of all layers of a transformer's blocks")
    elif module != "networks.lora":
        out.put("network_module", module)
    out.imply("lora.layers", "all")
    out.put("network_train_unet_only", True)
    _noise_levels(source, out)
    out.keep(source, _IDLE)
    if "datasets" in table:
        out.datasets = dataset(table, out)
    return out


def _noise_levels(source: Foreign, out: Translation) -> None:
    """sd-scripts' words with defaults of its own, and some more of them."""
    sampling, key = source.text("timestep_sampling", "sigma"), "timestep_sampling"
    if sampling == "logsnr":
        out.put("noise.timestep_density", "logit_normal", key)
        out.put("noise.timestep_shift", 1.0, key)
        out.put("noise.logit_mean", source.number("logit_mean") / 2, "logit_mean")
        out.put("noise.logit_std", source.number("logit_std", 1.0) / 2, "logit_std")
        return
    if sampling in _MIXED:
        out.refuse(
            key, f"{sampling!r} mixes several densities, its greatest part {_MIXED[sampling]!r} is taken"
        )
    if key in source.values:
        out.put(key, _MIXED.get(sampling, sampling))
    for key, default in _DEFAULTS.items():
        if source.peek(key) is None:
            out.imply(key, default)


def fits_dataset(table: Mapping[str, Any]) -> bool:
    """Whether a data set file is of its kind: images lie in ``image_directory``."""
    keys = ("image_directory", "video_directory", "image_jsonl_file", "video_jsonl_file")
    return any(isinstance(entry, dict) and any(key in entry for key in keys) for entry in _entries(table))


def _entries(table: Mapping[str, Any]) -> list[Any]:
    match table:
        case {"datasets": list(entries)}:
            return entries
        case _:
            return []


def dataset(table: Mapping[str, Any], out: Translation) -> dict[str, Any]:
    """Its data set file as one of sd-scripts'."""
    shared: Mapping[str, Any] = {}
    match table:
        case {"general": dict(general)}:
            shared = general
    found = []
    for place, entry in enumerate(_entries(table)):
        match entry:
            case {"image_directory": str(folder)}:
                found.append({"subsets": [_subset({**shared, **entry}, folder, f"datasets[{place}]", out)]})
            case _:
                why = "it names no image_directory, it is left out (videos and JSONL files are not read)"
                out.refuse(f"datasets[{place}]", why)
    return {"datasets": found}


def _subset(entry: Mapping[str, Any], folder: str, name: str, out: Translation) -> dict[str, Any]:
    for key, value in entry.items():
        if key not in (*_SUBSET, "image_directory", "cache_directory") and asks(value):
            out.refuse(f"{name}.{key}", "not supported")
    return {key: entry[key] for key in _SUBSET if key in entry} | {"image_dir": folder}
