"""sd-scripts keys that no field stands for: without effect here, or not supported (data only)."""

from __future__ import annotations

from collections.abc import Mapping

_FILES = "files have their own places in the study's workspace"
_EPOCHS = "every epoch's end is saved and judged"
_LOADER = "images and texts are encoded once and shared by all trials"
_LOG = "the study keeps its own records"
_SAMPLER = "the judge draws every picture with one sampler"

NO_EFFECT: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "output_dir",
            "logging_dir",
            "resume",
            "save_state",
            "save_state_on_train_end",
            "save_last_n_epochs_state",
        ),
        _FILES,
    ),
    **dict.fromkeys(("save_model_as", "no_metadata", "no_half_vae", "output_config"), _FILES),
    **dict.fromkeys(
        (
            "save_every_n_epochs",
            "save_every_n_steps",
            "save_n_epoch_ratio",
            "save_last_n_epochs",
            "save_last_n_steps",
            "save_last_n_steps_state",
            "sample_every_n_epochs",
            "sample_every_n_steps",
            "sample_at_first",
            "enable_preview",
        ),
        _EPOCHS,
    ),
    **dict.fromkeys(
        (
            "max_data_loader_n_workers",
            "persistent_data_loader_workers",
            "vae_batch_size",
            "cache_text_encoder_outputs",
            "cache_text_encoder_outputs_to_disk",
            "cache_info",
            "skip_cache_check",
            "lowram",
            "highvram",
            "num_cpu_threads_per_process",
            "num_processes",
            "num_machines",
            "gpu_ids",
            "vae_slicing",
            "torch_compile",
            "dynamo_backend",
        ),
        _LOADER,
    ),
    **dict.fromkeys(
        (
            "log_with",
            "log_prefix",
            "log_tracker_name",
            "log_tracker_config",
            "log_config",
            "wandb_run_name",
            "wandb_api_key",
            "console_log_level",
            "console_log_file",
            "console_log_simple",
            "training_comment",
            "metadata_title",
            "metadata_author",
            "metadata_description",
            "metadata_license",
            "metadata_tags",
            "huggingface_repo_id",
            "huggingface_token",
        ),
        _LOG,
    ),
    **dict.fromkeys(("sample_sampler", "sample_seed", "sample_width", "sample_height"), _SAMPLER),
    **dict.fromkeys(("model_train_type", "train_type", "sdxl"), "the base model's files say what it is"),
    "debug_dataset": "`lorasearch check` looks the data set over",
    "config_file": "this is it",
    "epoch": "max_train_epochs or max_train_steps say it",
    "noise_offset_type": "the kind of noise that is not chosen is not given",
    "network_train_on": "network_train_unet_only and network_train_text_encoder_only say it",
}
"""Key -> why it has no effect here."""

NOT_SUPPORTED: Mapping[str, str] = {
    **dict.fromkeys(("lr_scheduler_type", "lr_scheduler_args", "lr_decay_steps"), "see schedule.name"),
    **dict.fromkeys(("lr_scheduler_timescale", "lr_scheduler_min_lr_ratio"), "see schedule.name"),
    **dict.fromkeys(
        (
            "face_crop_aug_range",
            "caption_prefix",
            "caption_suffix",
            "keep_tokens_separator",
            "secondary_separator",
            "caption_separator",
            "enable_wildcard",
            "token_warmup_min",
            "token_warmup_step",
            "caption_dropout_every_n_epochs",
            "alpha_mask",
            "masked_loss",
            "conditioning_data_dir",
            "custom_attributes",
            "network_multiplier",
            "resize_interpolation",
            "in_json",
            "dataset_class",
            "tokenizer_cache_dir",
        ),
        "",
    ),
    **dict.fromkeys(
        (
            "noise_offset_random_strength",
            "ip_noise_gamma_random_strength",
            "scale_v_pred_loss_like_noise_pred",
            "v_pred_like_loss",
            "huber_scale",
            "full_fp16",
            "full_bf16",
            "fused_backward_pass",
            "deepspeed",
            "dim_from_weights",
            "initial_epoch",
            "initial_step",
            "skip_until_initial_step",
            "validation_split",
            "validation_seed",
            "train_inpainting",
            "learning_rate_te1",
            "learning_rate_te2",
            "stop_text_encoder_training_pct",
            "disable_mmap_load_safetensors",
        ),
        "",
    ),
    "validation_split": "see [split]",
    "learning_rate_te1": "give text_encoder_lr",
    "learning_rate_te2": "give text_encoder_lr = [first, second]",
    "stop_text_encoder_training_pct": "see optimiser.text_stop_share",
}
"""Key -> what to use instead, if anything."""
HARMLESS: Mapping[str, object] = {
    "token_warmup_min": 1,
    "caption_separator": ",",
    "huber_scale": 1.0,
    "network_multiplier": 1.0,
    "token_warmup_step": 0,
}
"""Values of unsupported keys that ask for nothing."""
