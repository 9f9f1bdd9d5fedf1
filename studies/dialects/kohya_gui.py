"""kohya_ss' page: its JSON presets, as v25 turns them into sd-scripts' arguments (bmaltais/kohya_ss 45088f0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.dialects.files import arguments_of
from studies.dialects.translation import Foreign, Translation, Word, asks, nonzero, number

MARKS = ("LoRA_type", "max_resolution")
_LYCORIS = {
    "LyCORIS/LoCon": "locon",
    "LoCon": "locon",
    "LyCORIS/LoHa": "loha",
    "LyCORIS/LoKr": "lokr",
    "LyCORIS/iA3": "ia3",
    "LyCORIS/DyLoRA": "dylora",
    "LyCORIS/GLoRA": "glora",
    "LyCORIS/Diag-OFT": "diag-oft",
    "LyCORIS/BOFT": "boft",
    "LyCORIS/Native Fine-Tuning": "full",
}
_KOHYA = {
    "Standard": "networks.lora",
    "Kohya LoCon": "networks.lora",
    "Kohya DyLoRA": "networks.dylora",
    "LoRA-FA": "networks.lora_fa",
    "Kohya LoHa": "networks.loha",
    "Kohya LoKr": "networks.lokr",
    "Flux1": "networks.lora_flux",
}
_FLOWS: Mapping[str, tuple[str, ...]] = {
    "flux1_checkbox": (
        "timestep_sampling",
        "discrete_flow_shift",
        "model_prediction_type",
        "guidance_scale",
        "model_type",
        "apply_t5_attn_mask",
    ),
    "sd3_checkbox": ("weighting_scheme", "logit_mean", "logit_std", "mode_scale"),
}
"""Box for a flow-matching base -> the keys that are given where it is ticked."""
_SHAPE = ("conv_dim", "conv_alpha")
_SWITCHES = ("bypass_mode", "dora_wd", "use_tucker", "use_scalar", "rank_dropout_scale", "train_norm")
_BLOCKS = (
    "down_lr_weight",
    "mid_lr_weight",
    "up_lr_weight",
    "block_lr_zero_threshold",
    "block_dims",
    "block_alphas",
    "conv_block_dims",
    "conv_block_alphas",
)
_DROPOUTS = ("rank_dropout", "module_dropout")
_OWN = {
    "lokr": ("factor", "use_cp", "decompose_both"),
    "dylora": ("unit",),
    "diag-oft": ("constrain", "rescaled"),
    "ia3": ("train_on_input",),
}
_RENAMED = {"unit": "block_size", "constrain": "constraint"}
_LORAPLUS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
_PARTS = (*_SHAPE, *_SWITCHES, *_BLOCKS, *_DROPOUTS, *_RENAMED, *(k for own in _OWN.values() for k in own))
_ROWS: Mapping[str, Word] = {
    "max_resolution": Word("resolution"),
    "optimizer": Word("optimizer_type"),
    "optimizer_args": Word("optimizer_args", lambda value: str(value).replace('"', "").split()),
    "lora_network_weights": Word("network_weights"),
    "sdxl_cache_text_encoder_outputs": Word("cache_text_encoder_outputs"),
    "clip_skip": Word("clip_skip", nonzero),
    "max_timestep": Word("max_timestep", nonzero),
    "seed": Word("seed", nonzero),
    "stop_text_encoder_training": Word("stop_text_encoder_training", lambda value: None),
    "stop_text_encoder_training_pct": Word("stop_text_encoder_training", lambda value: None),
}
_IDLE = (
    "sdxl_no_half_vae", "no_token_padding", "lowvram", "multi_gpu", "dynamo_*", "main_process_port",
    "extra_accelerate_launch_args", "model_list", "num_cpu_threads_per_process", "num_processes",
    "num_machines", "gpu_ids", "huggingface_*", "*_to_huggingface", "*_from_huggingface", "async_upload",
)  # fmt: skip
_OTHER_MODELS = (
    "flux*", "sd3*", "hunyuan*", "anima*", "lumina*", "t5xxl*", "clip_l", "clip_g*", "ae", "img_*_dim",
    "txt_*_dim", "single_*dim", "in_dims", "train_*_block_indices", "*blocks_to_swap", "logit_*", "mode_scale",
    "pos_emb_*", "save_clip", "save_t5xxl", "weighting_scheme", "discrete_flow_shift",
    "model_prediction_type", "timestep_sampling", "split_*", "train_blocks", "enable_all_linear",
    "guidance_scale", "mem_eff_save", "apply_t5_attn_mask", "train_t5xxl", "cpu_offload_checkpointing",
    "show_timesteps*", "ggpo_*", "train_lora_ggpo", "model_type",
)  # fmt: skip
_LAYERS = (
    "img_*_dim", "txt_*_dim", "single_*dim", "in_dims", "train_*_block_indices", "train_blocks", "split_*",
    "enable_all_linear",
)  # fmt: skip
_FLOW_WHY = {
    **dict.fromkeys(_LAYERS, "all layers of the transformer's blocks are adapted alike"),
    **dict.fromkeys(
        ("t5xxl*", "clip_l", "clip_g*", "ae", "sd3_clip*", "sd3_t5xxl*"), "a diffusers folder holds them"
    ),
    "*blocks_to_swap": "memory and speed are a matter of the machine, plan.compute",
}
_SHARED = "images and texts are encoded once and shared by all trials"
_IDLE_WHY = {
    **dict.fromkeys(_IDLE, _SHARED),
    **dict.fromkeys(_OTHER_MODELS, "it is for other models than Stable Diffusion 1, 2 and XL"),
}
_UNHANDED = "the page does not hand it to this base's trainer"
_FLOW_IDLE = {
    **_FLOW_WHY,
    **{pattern: _UNHANDED for pattern in _OTHER_MODELS if pattern not in _FLOW_WHY},
    **dict.fromkeys(_IDLE, _SHARED),
}
"""Where a box for a flow-matching base is ticked; the first pattern that fits counts."""


def translated(table: Mapping[str, Any]) -> Translation:
    """What a preset says."""
    source, out = Foreign(table), Translation("kohya_ss")
    for key in ("stop_text_encoder_training", "stop_text_encoder_training_pct"):
        if asks(source.peek(key)):
            out.refuse(key, "no effect here (the page ignores it)")
    out.apply(_ROWS, source)
    _network(source, out)
    _amount(source, out)
    _rates(source, out)
    _noise(source, out)
    _attention(source, out)
    ticked = [box for box in _FLOWS if source.on(box)]
    for box in ticked:
        out.apply({key: Word(key) for key in _FLOWS[box]}, source)
    out.keep(source, _FLOW_IDLE if ticked else _IDLE_WHY)
    for key, value in arguments_of(source.text("additional_parameters")).items():
        if key in out.values and out.values[key] != value:
            out.convert(key, f"additional_parameters say {value!r}, which counts, not {out.values[key]!r}")
        out.values[key] = value
    return out


def _network(source: Foreign, out: Translation) -> None:
    """The page's network type decides which of its many arguments are given."""
    kind = source.text("LoRA_type", "Standard")
    source.used.update(_PARTS, _LORAPLUS, ("LyCORIS_preset", "additional_parameters"))
    algorithm = _LYCORIS.get(kind)
    if algorithm:
        out.put("network_module", "lycoris.kohya")
        out.argument("network_args", "algo", algorithm, "LoRA_type")
        out.argument("network_args", "preset", source.text("LyCORIS_preset", "full"), "LyCORIS_preset")
        given = [*_SHAPE, *_DROPOUTS, *_SWITCHES, *_OWN.get(algorithm, ())]
    elif kind in _KOHYA:
        sd3 = kind == "Standard" and source.on("sd3_checkbox")
        out.put("network_module", "networks.lora_sd3" if sd3 else _KOHYA[kind], "LoRA_type")
        convolutions = _SHAPE if kind not in ("Standard", "LoRA-FA", "Flux1") else ()
        given = [*convolutions, *_DROPOUTS, *(() if sd3 or kind == "Flux1" else _BLOCKS)]
    else:
        out.refuse("LoRA_type", f"{kind!r} is not supported, 'Standard' is taken")
        given = [*_BLOCKS, *_DROPOUTS]
    for name in [*given, *_LORAPLUS]:
        value = source.take(name)
        if value is not None and (asks(value) or name in _SHAPE):
            out.argument("network_args", _RENAMED.get(name, name), value, name)


def _amount(source: Foreign, out: Translation) -> None:
    """``epoch`` counts unless one of sd-scripts' own limits is given."""
    epochs, steps = source.take("max_train_epochs"), source.take("max_train_steps")
    if asks(epochs):
        out.put("max_train_epochs", epochs)
    elif asks(steps):
        out.put("max_train_steps", steps)
    else:
        out.put("max_train_epochs", source.take("epoch", 1), "epoch")
    source.used.add("epoch")
    restarts = source.peek("lr_scheduler") == "cosine_with_restarts"
    if restarts and not asks(source.peek("lr_scheduler_num_cycles")):
        out.put("lr_scheduler_num_cycles", source.take("epoch", 1), "epoch")


def _rates(source: Foreign, out: Translation) -> None:
    """A rate of 0 trains nothing of its part; warm-up is in percent of all steps, unless steps are given."""
    unet, text = source.take("unet_lr"), source.take("text_encoder_lr")
    if asks(unet):
        out.put("unet_lr", unet)
        if text is not None and not asks(text):
            out.put("network_train_unet_only", True, "text_encoder_lr")
    if asks(text):
        out.put("text_encoder_lr", text)
        if unet is not None and not asks(unet):
            out.put("network_train_text_encoder_only", True, "unet_lr")
    percent, steps = source.take("lr_warmup"), source.take("lr_warmup_steps")
    if asks(steps):
        out.put("lr_warmup_steps", steps)
    elif asks(percent):
        row = Word(
            "lr_warmup_steps", lambda value: number(value) / 100, "percent of all steps is a share here"
        )
        out.apply({"lr_warmup": row}, source)


def _noise(source: Foreign, out: Translation) -> None:
    """The page gives one kind of noise alone, whatever stands in the fields of the other."""
    kinds = {
        "Original": ("noise_offset", "adaptive_noise_scale", "noise_offset_random_strength"),
        "Multires": ("multires_noise_iterations", "multires_noise_discount"),
    }
    chosen = source.text("noise_offset_type", "Original")
    for kind, keys in kinds.items():
        for key in keys:
            value = source.take(key)
            if asks(value) and kind == chosen:
                out.put(key, value)
            elif asks(value) and key != "multires_noise_discount":
                out.refuse(key, f"no effect here (noise_offset_type is {chosen!r})")


def _attention(source: Foreign, out: Translation) -> None:
    kind = source.take("xformers")
    if kind in ("xformers", True):
        out.put("xformers", True)
    elif kind == "sdpa":
        out.put("sdpa", True, "xformers")
