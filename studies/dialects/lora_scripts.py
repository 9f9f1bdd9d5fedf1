"""lora-scripts: its page's TOML and the variables of train.sh and train.ps1 (Akegarasu/lora-scripts fdefba9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.dialects import own
from studies.dialects.translation import Foreign, Translation, Word, asks, nonzero, switch

PAGE_MARKS = (
    "model_train_type", "lycoris_algo", "network_args_custom", "optimizer_args_custom", "enable_base_weight",
    "enable_block_weights", "ui_custom_params", "lokr_factor", "dylora_unit", "prodigy_d_coef",
)  # fmt: skip
SCRIPT_MARKS = ("pretrained_model", "max_train_epoches")
_BLOCKS = ("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold")
_OF_ALGORITHM = {"lokr_factor": ("lokr", "factor"), "dylora_unit": ("dylora", "block_size")}
_PAGE_IDLE = {
    "randomly_choice_prompt": "the judge draws every picture with one set of prompts",
    "ddp_*": "a study divides its trials among devices",
}
_SCRIPT: Mapping[str, Word] = {
    "pretrained_model": Word("pretrained_model_name_or_path"),
    "train_data_dir": Word("train_data_dir"),
    "reg_data_dir": Word("reg_data_dir"),
    "network_module": Word("network_module"),
    "network_weights": Word("network_weights"),
    "network_dim": Word("network_dim"),
    "network_alpha": Word("network_alpha"),
    "resolution": Word("resolution"),
    "batch_size": Word("train_batch_size"),
    "max_train_epoches": Word("max_train_epochs"),
    "train_unet_only": Word("network_train_unet_only", switch),
    "train_text_encoder_only": Word("network_train_text_encoder_only", switch),
    "stop_text_encoder_training": Word("stop_text_encoder_training", nonzero),
    "noise_offset": Word("noise_offset", nonzero),
    "keep_tokens": Word("keep_tokens"),
    "min_snr_gamma": Word("min_snr_gamma", nonzero),
    "lr": Word("learning_rate"),
    "unet_lr": Word("unet_lr"),
    "text_encoder_lr": Word("text_encoder_lr"),
    "lr_scheduler": Word("lr_scheduler"),
    "lr_warmup_steps": Word("lr_warmup_steps", nonzero),
    "lr_restart_cycles": Word("lr_scheduler_num_cycles"),
    "optimizer_type": Word("optimizer_type"),
    "output_name": Word("output_name"),
    "min_bucket_reso": Word("min_bucket_reso"),
    "max_bucket_reso": Word("max_bucket_reso"),
}
_FIXED: Mapping[str, Any] = {
    "enable_bucket": True,
    "shuffle_caption": True,
    "cache_latents": True,
    "xformers": True,
    "mixed_precision": "fp16",
    "save_precision": "fp16",
    "seed": 1337,
    "prior_loss_weight": 1.0,
    "max_token_length": 225,
}
"""What the script itself hands to sd-scripts."""
_SCRIPT_IDLE = {
    **dict.fromkeys(("save_*", "resume"), "files have their own places in the study's workspace"),
    **dict.fromkeys(
        ("*_data_loader_workers", "multi_gpu", "lowram"),
        "images and texts are encoded once and shared by all trials",
    ),
    **dict.fromkeys(
        ("use_wandb", "wandb_api_key", "log_tracker_name", "HF_HOME", "TF_*", "trainer_file"),
        "the study keeps its own records",
    ),
}


def page(table: Mapping[str, Any]) -> Translation:
    """What the page's configuration says, with or without sections."""
    said = own.translated(table)
    source, out = Foreign(said.values), Translation("lora-scripts", unmet=said.unmet)
    lycoris = source.peek("network_module") == "lycoris.kohya" or bool(source.peek("lycoris_algo"))
    if lycoris:
        out.put("network_module", "lycoris.kohya")
        _lycoris(source, out)
    elif unit := source.take("dylora_unit"):
        out.argument("network_args", "unit", unit, "dylora_unit")
    source.used.update(("lycoris_algo", *_OF_ALGORITHM, "conv_dim", "conv_alpha", "dropout", "train_norm"))
    _own_blocks(source, out)
    _other_loras(source, out)
    for to in ("network_args", "optimizer_args"):
        given = [source.take(to), source.take(f"{to}_custom")]
        arguments = [entry for entries in given for entry in (entries if isinstance(entries, list) else [])]
        if arguments:
            out.values[to] = [*out.values.get(to, []), *arguments]
    for key in ("d0", "d_coef"):
        if value := source.take(f"prodigy_{key}"):
            out.argument("optimizer_args", key, value, f"prodigy_{key}")
    if prompts := source.take("prompt_file"):
        out.put("sample_prompts", prompts, "prompt_file")
    if asks(source.take("ui_custom_params")):
        out.refuse("ui_custom_params", "not supported; write its keys into the file")
    out.keep(source, _PAGE_IDLE)
    return out


def script(table: Mapping[str, Any]) -> Translation:
    """What the variables of train.sh or train.ps1 say, and what the script adds to them."""
    source, out = Foreign(table), Translation("lora-scripts")
    out.values = dict(_FIXED)
    out.apply(_SCRIPT, source)
    if source.text("lr_scheduler") != "cosine_with_restarts":
        out.values.pop("lr_scheduler_num_cycles", None)
    if source.text("model_type", "sd1.5") == "sd1.5":
        out.apply({"clip_skip": Word("clip_skip")}, source)
    elif asks(source.take("clip_skip")):
        out.refuse("clip_skip", "no effect here (model_type is not 'sd1.5')")
    if source.text("model_type") == "sd2.0":
        out.put("v2", True, "model_type")
    if asks(source.take("parameterization")):
        out.put("v_parameterization", True, "parameterization")
    if source.text("optimizer_type") == "DAdaptation":
        out.argument("optimizer_args", "decouple", True)
    arguments = {name: source.take(name) for name in ("algo", "conv_dim", "conv_alpha", "dropout")}
    if source.text("network_module") == "lycoris.kohya":
        for name, value in arguments.items():
            if value is not None:
                out.argument("network_args", name, value)
    out.remainder(source, _SCRIPT_IDLE)
    return out


def _lycoris(source: Foreign, out: Translation) -> None:
    algorithm = source.text("lycoris_algo", "locon").lower()
    out.argument("network_args", "algo", algorithm, "lycoris_algo")
    for name in ("conv_dim", "conv_alpha", "dropout", "train_norm"):
        value = source.take(name)
        if value is not None:
            out.argument("network_args", name, value)
    for key, (wanted, name) in _OF_ALGORITHM.items():
        value = source.take(key)
        if value is not None and algorithm == wanted:
            out.argument("network_args", name, value, key)


def _own_blocks(source: Foreign, out: Translation) -> None:
    """Weights of blocks count when they are switched on."""
    on = asks(source.take("enable_block_weights"))
    for key in _BLOCKS:
        value = source.take(key)
        if on and value is not None:
            out.argument("network_args", key, value)


def _other_loras(source: Foreign, out: Translation) -> None:
    """LoRAs to merge stand a line each."""
    on = asks(source.take("enable_base_weight"))
    for key in ("base_weights", "base_weights_multiplier"):
        value = source.take(key)
        if value is None or not on:
            continue
        lines = [line.strip() for line in str(value).splitlines()] if isinstance(value, str) else value
        numbers = key.endswith("multiplier") and isinstance(lines, list)
        out.put(key, [_weight(line) for line in lines] if numbers else lines)


def _weight(text: Any) -> Any:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text
