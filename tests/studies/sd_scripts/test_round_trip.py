"""What is exported is what is imported again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studies.sd_scripts.exporting import export
from studies.sd_scripts.importing import Recipe, read
from studies.sd_scripts.settings import FIELDS
from tests.studies.conftest import ASSETS
from trainer.plan import TrainingPlan

Pictures = Callable[..., Path]
MICRO = ASSETS / "micro-sd"

SAYABLE: list[dict[str, Any]] = [
    {},
    {"base.clip_skip": 2, "base.prediction_type": "v_prediction", "base.zero_terminal_snr": True},
    {"base.prediction_type": "epsilon", "base.zero_terminal_snr": False},
    {
        "data.resolution": 64,
        "data.enable_bucket": True,
        "data.min_bucket_reso": 64,
        "data.max_bucket_reso": 128,
    },
    {"data.bucket_no_upscale": True, "data.enable_bucket": True, "data.batch_size": 3, "data.epochs": 7},
    {"data.repeats": 5, "data.shuffle_caption": True, "data.keep_tokens": 2, "data.caption_dropout": 0.1},
    {"data.tag_dropout": 0.2, "data.keep_tokens": 1, "data.weighted_captions": True, "data.flip": True},
    {"data.max_token_length": 225, "data.cache_latents": "memory"},
    {"data.max_token_length": 150, "data.cache_latents": "off", "data.random_crop": True},
    {"lora.rank": 24, "lora.alpha_over_rank": 1 / 3, "lora.text_encoder": True},
    {"lora.rank": 128, "lora.alpha_over_rank": 1 / 128, "lora.unet": False, "lora.text_encoder": True},
    {
        "optimiser.name": "lion",
        "optimiser.unet_lr": 3e-4,
        "optimiser.weight_decay": 0.2,
        "lora.text_encoder": True,
    },
    {"optimiser.name": "adamw", "optimiser.args": {"betas": (0.9, 0.98), "eps": 1e-7}},
    {"optimiser.name": "sgd_nesterov", "optimiser.unet_lr": 0.1, "optimiser.args": {"momentum": 0.8}},
    {"optimiser.name": "prodigy", "lora.text_encoder": True, "optimiser.text_lr_over_unet_lr": 1.0},
    {"optimiser.name": "prodigy", "optimiser.args": {"d_coef": 2.0, "safeguard_warmup": False}},
    {"optimiser.name": "dadapt_adam", "optimiser.args": {"decouple": False}},
    {"optimiser.name": "adafactor", "optimiser.args": {"scale_parameter": True}},
    {"optimiser.max_grad_norm": 0.0, "optimiser.gradient_accumulation": 4, "optimiser.max_weight_norm": 1.0},
    {"optimiser.lora_plus_ratio": 16.0},
    {"schedule.name": "cosine_with_restarts", "schedule.cycles": 3, "schedule.warmup_share": 0.05},
    {"schedule.name": "polynomial", "schedule.power": 2.0, "schedule.warmup_steps": 100},
    {"schedule.name": "constant"},
    {"noise.offset": 0.05, "noise.adaptive_scale": 0.01, "noise.ip_gamma": 0.1, "noise.min_snr_gamma": 5.0},
    {"noise.multires_iterations": 6, "noise.multires_discount": 0.8, "noise.debiased": True},
    {"noise.min_timestep": 100, "noise.max_timestep": 900, "noise.loss": "huber", "noise.huber_c": 0.2},
    {"noise.loss": "smooth_l1"},
    {"compute.mixed_precision": "bf16", "compute.gradient_checkpointing": True, "seed": 42},
    {"compute.base_format": "fp8"},
]
SAYABLE += [
    values
    for values in (
        {"lora.conv_rank": 8, "lora.conv_alpha_over_rank": 0.25, "lora.dropout": 0.1},
        {"lora.rank_dropout": 0.1, "lora.module_dropout": 0.2, "lora.start": Path("/x/start.safetensors")},
        {"lora.dora": True, "lora.alpha_over_rank": 0.25},
        {"lora.dora": True, "lora.conv_rank": 8, "lora.scaling": "alpha/sqrt(rank)"},
        {"lora.scaling": "alpha/sqrt(rank)", "lora.rank": 64, "lora.dropout": 0.1},
        {"lora.algorithm": "lokr", "lora.algorithm_args": {"lokr": {"factor": 8}}},
        {"lora.algorithm": "lokr", "lora.algorithm_args": {"lokr": {"factor": 8, "full_matrix": True}}},
        {"lora.algorithm": "loha", "lora.algorithm_args": {"loha": {"weight_decompose": True}}},
        {"lora.algorithm": "loha", "lora.conv_rank": 4},
        {"lora.algorithm": "full"},
        {"lora.algorithm": "glora", "lora.algorithm_args": {"glora": {"rs_lora": True}}},
        {"lora.algorithm": "dylora", "lora.algorithm_args": {"dylora": {"block_size": 8}}},
        {"base.loras": ({"file": "/x/y.safetensors", "weight": 0.5},)},
    )
    if values.keys() <= FIELDS.keys()
]
UNSAYABLE: list[dict[str, Any]] = [
    {"optimiser.text_stop_share": 0.5, "lora.text_encoder": True},
    {"schedule.name": "staged", "schedule.stages": ({"epochs": 1}, {"epochs": 1, "factor": 0.1})},
    {"ema.decay": 0.99},
    {"data.rotation_degrees": 5.0},
    {"data.zoom": 0.1},
    {"data.colour_jitter": 0.2},
    {"data.pad_tokens": False},
    {"compute.device": "cpu"},
]
UNSAYABLE += [
    values
    for values in (
        {"lora.block_ranks": {"mid_block": 8}},
        {"lora.block_lrs": {"mid_block": 0.5}},
        {"lora.freeze": ("mid_block",)},
    )
    if values.keys() <= FIELDS.keys()
]


def flat(plan: TrainingPlan) -> dict[str, Any]:
    found = {}
    for name in FIELDS:
        section, _, leaf = name.partition(".")
        found[name] = getattr(getattr(plan, section), leaf) if leaf else getattr(plan, section)
    return found


def make(folder: Path, values: dict[str, Any]) -> TrainingPlan:
    table: dict[str, Any] = {"base": {"path": MICRO}, "data": {"folder": folder}}
    for name, value in values.items():
        section, _, leaf = name.partition(".")
        if leaf:
            table.setdefault(section, {})[leaf] = value
        else:
            table[section] = value
    return TrainingPlan.model_validate(table)


def there_and_back(plan: TrainingPlan, folder: Path) -> tuple[Recipe, str]:
    made = export(plan, {}, "mine", "mine.dataset.toml")
    (folder / "mine.config.toml").write_text(made.config)
    (folder / "mine.dataset.toml").write_text(made.dataset)
    return read(folder / "mine.config.toml"), made.config


def same(first: Any, second: Any) -> bool:
    return bool(first == pytest.approx(second, rel=1e-11)) if isinstance(first, float) else first == second


@pytest.mark.parametrize("values", SAYABLE, ids=lambda v: ", ".join(v) or "defaults")
def test_what_sd_scripts_can_say_comes_back(
    values: dict[str, Any], pictures: Pictures, tmp_path: Path
) -> None:
    plan = make(pictures("train/2_thing", "train/3_other"), values)
    recipe, config = there_and_back(plan, tmp_path)
    before, after = flat(plan), flat(recipe.plan)
    silent = {name for name in FIELDS if f"#   {name} = " in config}
    if plan.optimiser.name in ("prodigy", "dadapt_adam"):
        silent |= {"optimiser.unet_lr", "optimiser.text_lr_over_unet_lr"}
    if not plan.lora.text_encoder:
        silent |= {"optimiser.text_lr_over_unet_lr"}
    differing = {
        n: (before[n], after[n]) for n in FIELDS if not same(before[n], after[n]) and n not in silent
    }
    assert differing == {}
    assert not values.keys() & silent - {"data.cache_latents", "optimiser.text_lr_over_unet_lr"}
    assert recipe.name == "mine"


@pytest.mark.parametrize("values", UNSAYABLE, ids=lambda v: ", ".join(v))
def test_what_sd_scripts_cannot_say_is_named(
    values: dict[str, Any], pictures: Pictures, tmp_path: Path
) -> None:
    plan = make(pictures("train/2_thing"), values)
    _, config = there_and_back(plan, tmp_path)
    for name in values.keys() - {"lora.text_encoder"}:
        assert f"#   {name} = " in config


def test_a_default_plan_leaves_nothing_unsaid(pictures: Pictures) -> None:
    made = export(make(pictures("train/2_thing"), {}), {}, "mine", "d.toml")
    assert "Not said" not in made.config


def test_concepts_become_subsets(pictures: Pictures, tmp_path: Path) -> None:
    pictures("a", "b", "klass")
    concepts = tmp_path / "concepts.json"
    concepts.write_text(
        '[{"instance_data_dir": "a", "instance_prompt": "sks", "repeats": 4, "class_data_dir": "klass", '
        '"class_prompt": "dog"}, {"instance_data_dir": "b", "shuffle_caption": true, "keep_tokens": 1}]'
    )
    plan = TrainingPlan.model_validate({"base": {"path": MICRO}, "data": {"concepts": concepts}})
    recipe, _ = there_and_back(plan, tmp_path)
    first, second = recipe.images.concepts or []
    assert first["instance_data_dir"] == str(tmp_path / "a")
    assert (first["instance_prompt"], first["repeats"]) == ("sks", 4)
    assert (first["class_data_dir"], first["class_prompt"]) == (str(tmp_path / "klass"), "dog")
    assert (second["repeats"], second["shuffle_caption"], second["keep_tokens"]) == (1, True, 1)


def test_regularisation_folder_comes_back(pictures: Pictures, tmp_path: Path) -> None:
    folder, reg = pictures("train/2_thing"), pictures("reg/1_dog")
    plan = make(folder, {"data.reg_folder": reg, "data.prior_loss_weight": 0.5})
    recipe, _ = there_and_back(plan, tmp_path)
    assert recipe.plan.data.reg_folder == reg
    assert recipe.plan.data.prior_loss_weight == 0.5


def test_images_that_are_gone_are_told(tmp_path: Path) -> None:
    from studies.errors import StudyError

    with pytest.raises(StudyError, match="there is no such image folder"):
        export(make(tmp_path / "gone", {}), {}, "mine", "d.toml")


@pytest.mark.parametrize(
    "text", [r"D:\new\x.safetensors", r"\\nas\share\x.safetensors", r"D:\it's\x.safetensors"]
)
def test_places_on_windows_come_back(text: str, pictures: Pictures, tmp_path: Path) -> None:
    values = {"base.vae": text, "lora.start": Path(text), "base.loras": ({"file": text, "weight": 0.5},)}
    plan = make(pictures("train/2_thing"), values)
    recipe, config = there_and_back(plan, tmp_path)
    back, there = flat(recipe.plan), flat(plan)
    assert {name for name in FIELDS if not same(back[name], there[name])} == set()
    assert pytest.importorskip("toml").loads(config)["model_arguments"]["vae"] == text


def test_doras_switch_is_exported_under_lycoris_word(pictures: Pictures) -> None:
    values = {"lora.algorithm": "loha", "lora.algorithm_args": {"loha": {"weight_decompose": True}}}
    made = export(make(pictures("train/2_thing"), values), {}, "mine", "d.toml")
    assert '"dora_wd=True"' in made.config
