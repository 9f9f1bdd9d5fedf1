"""A configuration of sd-scripts in our terms; every expected value is worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from studies.errors import StudyError
from studies.sd_scripts.importing import Recipe, read
from studies.sd_scripts.settings import FIELDS
from studies.sd_scripts.study_file import text as written
from studies.spec.study_file import parse
from studies.spec.toml import key, value
from tests.studies.conftest import ASSETS

MICRO = str(ASSETS / "micro-sd")
Importer = Callable[..., Recipe]


@pytest.fixture
def imported(pictures: Callable[..., Path], tmp_path: Path) -> Importer:
    """Imports a configuration with these keys; 8 images, 2 repeats, unless it says where they are."""
    train = pictures("train/2_sks thing", count=8)

    def run(dataset: str | None = None, **keys: Any) -> Recipe:
        given = {
            "pretrained_model_name_or_path": MICRO,
            "train_data_dir": str(train),
            "max_train_epochs": 3,
            **keys,
        }
        config = tmp_path / "config.toml"
        config.write_text("".join(f"{key(k)} = {value(v)}\n" for k, v in given.items() if v is not None))
        if dataset is None:
            return read(config)
        (tmp_path / "dataset.toml").write_text(dataset)
        return read(config, tmp_path / "dataset.toml")

    return run


def reasons(recipe: Recipe) -> dict[str, str]:
    return {unmet.key: unmet.reason for unmet in recipe.unmet}


def test_what_is_not_said_is_what_sd_scripts_does(imported: Importer) -> None:
    recipe = imported()
    plan = recipe.plan
    assert (plan.lora.rank, plan.lora.file_alpha) == (4, 1)
    assert plan.lora.unet and plan.lora.text_encoder
    assert plan.optimiser.unet_lr == 2e-6
    assert plan.optimiser.text_lr_over_unet_lr == 1
    assert (plan.schedule.name, plan.optimiser.name) == ("constant", "adamw")
    assert recipe.unmet == ()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"network_dim": 64, "network_alpha": 16}, {"lora.rank": 64, "lora.alpha_over_rank": 0.25}),
        ({"network_dim": 4, "network_alpha": 8}, {"lora.rank": 4, "lora.alpha": 8.0}),
        ({"network_dim": 64, "network_alpha": 0}, {"lora.alpha_over_rank": 1.0}),
        (
            {"learning_rate": 1e-4, "text_encoder_lr": 5e-5},
            {"optimiser.unet_lr": 1e-4, "optimiser.text_lr_over_unet_lr": 0.5},
        ),
        ({"learning_rate": 1e-3, "unet_lr": "1e-4"}, {"optimiser.text_lr_over_unet_lr": 10.0}),
        ({"unet_lr": 1e-4, "optimizer_type": "Lion"}, {"optimiser.name": "lion", "optimiser.unet_lr": 3e-4}),
        ({"optimizer_type": "lion"}, {"optimiser.weight_decay": 0.0}),
        (
            {"optimizer_type": "AdamW", "optimizer_args": ["weight_decay=0.1"]},
            {"optimiser.weight_decay": 0.1},
        ),
        ({"optimizer_args": ["betas=0.9,0.99"]}, {"optimiser.args": {"betas": [0.9, 0.99]}}),
        ({"optimizer_args": ["eps=None"]}, {"optimiser.args": None}),
        ({"use_8bit_adam": True}, {"optimiser.name": "adamw8bit"}),
        ({"lr_scheduler": "cosine", "lr_warmup_steps": 120}, {"schedule.warmup_steps": 120}),
        ({"lr_scheduler": "cosine", "lr_warmup_steps": 0.05}, {"schedule.warmup_share": 0.05}),
        (
            {"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 3},
            {"schedule.name": "cosine_with_restarts", "schedule.cycles": 3},
        ),
        ({"lr_scheduler": "cosine_with_restarts", "lr_restart_cycles": 2}, {"schedule.cycles": 2}),
        ({"lr_scheduler": "polynomial", "lr_scheduler_power": 2}, {"schedule.power": 2.0}),
        ({"network_train_unet_only": True}, {"lora.text_encoder": False}),
        ({"unet_lr": 1e-4, "text_encoder_lr": 0}, {"lora.text_encoder": False}),
        (
            {"network_train_text_encoder_only": True, "text_encoder_lr": 5e-5, "unet_lr": 1e-4},
            {"lora.unet": False, "optimiser.unet_lr": 1e-4, "optimiser.text_lr_over_unet_lr": 0.5},
        ),
        ({"resolution": "512,512"}, {"data.resolution": 512}),
        ({"resolution": [768, 768]}, {"data.resolution": 768}),
        ({"resolution": "512,2048", "enable_bucket": True}, {"data.resolution": 1024}),
        ({"train_batch_size": 4}, {"data.batch_size": 4}),
        ({"cache_latents": True}, {"data.cache_latents": "memory"}),
        ({"cache_latents": True, "cache_latents_to_disk": True}, {"data.cache_latents": "disk"}),
        ({"cache_latents": False}, {"data.cache_latents": "off"}),
        ({"min_snr_gamma": 0}, {"noise.min_snr_gamma": None}),
        ({"min_snr_gamma": 5}, {"noise.min_snr_gamma": 5.0}),
        ({"noise_offset": 0.1, "adaptive_noise_scale": 0.01}, {"noise.adaptive_scale": 0.01}),
        ({"multires_noise_iterations": 6, "multires_noise_discount": 0.3}, {"noise.multires_iterations": 6}),
        ({"scale_weight_norms": 1}, {"optimiser.max_weight_norm": 1.0}),
        ({"network_args": ["loraplus_lr_ratio=16"]}, {"optimiser.lora_plus_ratio": 16.0}),
        ({"loss_type": "huber", "huber_c": 0.2, "huber_schedule": "constant"}, {"noise.loss": "huber"}),
        ({"v2": True}, {"base.prediction_type": "epsilon"}),
        ({"v2": True, "v_parameterization": True}, {"base.prediction_type": "v_prediction"}),
        ({"clip_skip": 2, "max_token_length": 225}, {"base.clip_skip": 2, "data.max_token_length": 225}),
        ({"optimizer_type": "Prodigy", "learning_rate": 1}, {"optimiser.text_lr_over_unet_lr": 1.0}),
        ({"max_train_epochs": None, "max_train_steps": 32}, {"data.epochs": 2}),
    ],
    ids=lambda v: ", ".join(map(str, v)),
)
def test_each_key_in_its_own_unit(keys: dict[str, Any], expected: dict[str, Any], imported: Importer) -> None:
    recipe = imported(**keys)
    found = {name: recipe.values.get(name) for name in expected}
    assert found == expected
    assert recipe.unmet == ()


def test_what_prodigy_is_not_told_is_the_librarys_default(imported: Importer) -> None:
    recipe = imported(optimizer_type="Prodigy", learning_rate=1, optimizer_args=["d_coef=2", "decouple=True"])
    assert recipe.values["optimiser.args"] == {
        "use_bias_correction": False,
        "safeguard_warmup": False,
        "d_coef": 2,
    }


@pytest.mark.parametrize(
    ("keys", "unmet", "reason"),
    [
        ({"learnign_rate": 1e-4}, "learnign_rate", "unknown; did you mean learning_rate?"),
        ({"enable_contrastive": True}, "enable_contrastive", "unknown"),
        ({"output_dir": "x"}, "output_dir", "no effect here"),
        ({"caption_prefix": "x"}, "caption_prefix", "not supported"),
        ({"network_module": "networks.dylora"}, "network_module", "not supported"),
        (
            {"network_args": ["algo=nonsense"], "network_module": "lycoris.kohya"},
            "network_args: algo",
            "nonsense",
        ),
        (
            {"network_args": ["algo=full", "train_norm=True"], "network_module": "lycoris.kohya"},
            "network_args: train_norm",
            "normalisation layers are not adapted",
        ),
        ({"adaptive_noise_scale": 0.1}, "adaptive_noise_scale", "noise_offset is 0"),
        ({"prior_loss_weight": 0.5}, "prior_loss_weight", "no regularisation images"),
        ({"loss_type": "huber"}, "huber_schedule", "'snr' is not supported"),
        ({"loss_type": "l1"}, "loss_type", "'l2' is taken"),
        ({"lr_scheduler": "adafactor"}, "lr_scheduler", "'constant' is taken"),
        ({"keep_tokens": 2}, "keep_tokens", "no effect here (it is read with shuffle_caption = true"),
        ({"keep_tokens": "1", "shuffle_caption": False}, "keep_tokens", "no effect here"),
        (
            {"lr_scheduler": "cosine", "lr_scheduler_num_cycles": 4},
            "lr_scheduler_num_cycles",
            "no effect here",
        ),
        ({"bucket_no_upscale": True}, "bucket_no_upscale", "enable_bucket is false"),
        ({"resolution": "512,768"}, "resolution", "576 x 576 is taken"),
        ({"optimizer_type": "AdaFactor"}, "optimizer_args: relative_step", "not supported"),
        ({"optimizer_type": "Prodigy", "learning_rate": 1e-4}, "learning_rate", "always given 1"),
        ({"caption_extension": ".tags"}, "caption_extension", "captions are .txt or .caption files"),
        ({"max_train_steps": 100}, "max_train_steps", "max_train_epochs says it"),
        ({"max_train_epochs": None, "max_train_steps": 20}, "max_train_steps", "16 an epoch are 2 epochs"),
        ({"color_aug": True}, "color_aug", "approximated"),
        ({"sample_prompts": ["a dog --w 512"]}, "sample_prompts: --w", "not supported"),
        ({"network_train_unet_only": True, "text_encoder_lr": 1e-5}, "text_encoder_lr", "no effect here"),
        ({"network_dim": 4, "network_alpha": 2048}, "network_alpha", "more than the rank"),
    ],
    ids=lambda v: ", ".join(map(str, v)) if isinstance(v, dict) else "",
)
def test_what_cannot_be_honoured_is_named(
    keys: dict[str, Any], unmet: str, reason: str, imported: Importer
) -> None:
    assert reason in reasons(imported(**keys))[unmet]


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("cosine_with_min_lr", "cosine"),
        ("cosine_warmup_with_min_lr", "cosine"),
        ("warmup_stable_decay", "constant_with_warmup"),
        ("inverse_sqrt", "constant_with_warmup"),
    ],
)
def test_an_unknown_schedule_gives_way_to_the_nearest_that_warms_up(
    asked: str, taken: str, imported: Importer
) -> None:
    recipe = imported(lr_scheduler=asked, lr_warmup_steps=10)
    assert recipe.values["schedule.name"] == taken
    assert recipe.values["schedule.warmup_steps"] == 10
    assert reasons(recipe)["lr_scheduler"].startswith(f"{asked!r} is not supported, {taken!r} is taken")


def test_tags_are_kept_where_one_subset_shuffles(
    imported: Importer, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    pictures("one", "two")
    subsets = "".join(
        f'[[datasets.subsets]]\nimage_dir = "{tmp_path / name}"\nkeep_tokens = 1\nshuffle_caption = {on}\n'
        for name, on in (("one", "true"), ("two", "false"))
    )
    recipe = imported(f"[[datasets]]\n{subsets}", train_data_dir=None)
    assert recipe.images.concepts is not None
    assert [concept["keep_tokens"] for concept in recipe.images.concepts] == [1, 1]
    assert "keep_tokens" not in reasons(recipe)


NETWORK_ARGS = {"conv_dim": "4", "conv_alpha": "1", "rank_dropout": "0.1", "module_dropout": "0.2"}


def test_network_arguments_act_or_are_named(imported: Importer) -> None:
    recipe = imported(network_args=[f"{k}={v}" for k, v in NETWORK_ARGS.items()], network_dropout=0.1)
    if "lora.conv_rank" in FIELDS:
        assert recipe.values["lora.conv_rank"] == 4
        assert recipe.values["lora.conv_alpha_over_rank"] == 0.25
        assert recipe.unmet == ()
    else:
        unacted = {f"network_args: {key}" for key in NETWORK_ARGS} - {"network_args: conv_alpha"}
        assert reasons(recipe).keys() == {*unacted, "network_dropout"}


@pytest.mark.parametrize("key", ["save_state", "lowram", "random_crop", "caption_prefix", "reg_data_dir"])
def test_what_asks_for_nothing_is_not_named(key: str, imported: Importer) -> None:
    assert imported(**{key: False if key != "reg_data_dir" else ""}).unmet == ()


IMPOSSIBLE = {
    "lr_scheduler": "constant",
    "lr_warmup_steps": 100,
    "optimizer_type": "DAdaptAdam",
    "unet_lr": 1,
    "text_encoder_lr": 0.5,
    "enable_bucket": True,
    "bucket_reso_steps": 48,
    "debiased_estimation_loss": True,
    "min_snr_gamma": 5,
    "network_dim": "many",
    "mixed_precision": "fp8",
}


def test_combinations_that_cannot_work_are_all_told_at_once(imported: Importer) -> None:
    with pytest.raises(StudyError) as caught:
        imported(**IMPOSSIBLE)
    told = caught.value.problems
    assert len(told) == 6, told
    for part in (
        "lr_warmup_steps = 100 cannot act with lr_scheduler = 'constant'",
        "'DAdaptAdam' has one learning rate for all parts, but unet_lr is 1.0 and text_encoder_lr is 0.5",
        "bucket_reso_steps must be a multiple of 64",
        "debiased = true and min_snr_gamma = 5.0",
        "network_dim must be a number, but got 'many'",
        "mixed_precision: input should be 'no', 'fp16' or 'bf16'",
    ):
        assert any(part in problem for problem in told), (part, told)


def test_cached_texts_go_with_neither_shuffling_nor_text_training(imported: Importer) -> None:
    with pytest.raises(StudyError) as caught:
        imported(cache_text_encoder_outputs=True, shuffle_caption=True)
    assert len(caught.value.problems) == 2
    recipe = imported(cache_text_encoder_outputs=True, network_train_unet_only=True)
    assert "no effect here" in reasons(recipe)["cache_text_encoder_outputs"]


def test_clip_skip_on_sdxl_is_told(imported: Importer, micro_sdxl: Path) -> None:
    with pytest.raises(StudyError, match="clip_skip = 2: SDXL ignores it"):
        imported(pretrained_model_name_or_path=str(micro_sdxl), clip_skip=2)
    recipe = imported(
        pretrained_model_name_or_path=str(micro_sdxl), unet_lr=1e-4, text_encoder_lr=[5e-5, 1e-5]
    )
    assert recipe.values["optimiser.text_lr_over_unet_lr"] == 0.5
    assert recipe.values["optimiser.text2_lr_over_unet_lr"] == 0.1


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"train_data_dir": "/gone"}, "train_data_dir: /gone: there is no such folder"),
        ({"train_data_dir": None}, "train_data_dir is missing"),
        ({"pretrained_model_name_or_path": None}, "pretrained_model_name_or_path is missing"),
        ({"pretrained_model_name_or_path": "./model.ckpt"}, "pickle checkpoints can run code"),
        ({"pretrained_model_name_or_path": "/gone/x.safetensors"}, "there is no base model here"),
        ({"reg_data_dir": "/gone"}, "reg_data_dir: /gone"),
        ({"optimizer_type": "Magic"}, "optimizer_type = 'Magic' is not supported; choose among: AdamW"),
        ({"optimizer_args": ["nonsense=1"]}, "args.nonsense"),
        ({"optimizer_args": [3]}, "optimizer_args must be a list of texts"),
        ({"max_token_length": 100}, "max_token_length: input should be 75, 150 or 225"),
        ({"xformers": "perhaps"}, "xformers must be true or false"),
        ({"save_precision": "int8"}, "save_precision must be one of float, fp16, bf16"),
        ({"unet_lr": 0, "text_encoder_lr": 0}, "leave nothing to train"),
        ({"resolution": "big"}, "resolution must be one number or width and height"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
    ids=lambda v: ", ".join(v) if isinstance(v, dict) else "",
)
def test_what_is_wrong_is_one_sentence(keys: dict[str, Any], sentence: str, imported: Importer) -> None:
    with pytest.raises(StudyError) as caught:
        imported(**keys)
    (told,) = caught.value.problems
    assert sentence in told


def test_sections_of_any_name_are_flattened_and_contradictions_named(
    imported: Importer, tmp_path: Path
) -> None:
    imported()
    config = tmp_path / "config.toml"
    flat = config.read_text()
    config.write_text(
        f'[metadata]\nname = "x"\n[whatever]\n{flat}network_dim = 8\n[more]\nnetwork_dim = 16\n'
    )
    recipe = read(config)
    assert recipe.plan.lora.rank == 16
    assert reasons(recipe) == {"network_dim": "stands twice, 16 is taken, not 8"}


def test_seed_samples_and_precision_go_into_the_study(imported: Importer, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("# mine\na dog --n blurry --s 20 --l 7\n\na cat --n blurry\n")
    recipe = imported(sample_prompts="prompts.txt", save_precision="float", seed=-1)
    assert recipe.judge == {
        "prompts": ["a dog", "a cat"],
        "negative_prompt": "blurry",
        "steps": 20,
        "guidance": 7.0,
    }
    assert recipe.save == {"precision": "no"}
    assert recipe.seed == -1


WINDOWS = [
    r"D:\models\x.safetensors",
    r"C:\data\10_cat",
    r"\\nas\share\v.safetensors",
    "E:/models/x.safetensors",
]


@pytest.mark.parametrize("text", WINDOWS)
def test_places_on_windows_are_kept_as_they_are_written(text: str, imported: Importer) -> None:
    recipe = imported(vae=text, network_weights=text, base_weights=[text])
    assert recipe.values["base.vae"] == recipe.values["lora.start"] == text
    assert recipe.values["base.loras"] == [{"file": text, "weight": 1.0}]
    study = parse(written(recipe, "config.toml"), Path("/elsewhere"))
    assert study.plan["base"]["vae"] == study.plan["lora"]["start"] == text
    assert study.plan["base"]["loras"] == [{"file": text, "weight": 1.0}]


@pytest.mark.parametrize("text", [r".\train", r"train", "train\\", r"..\{name}\train"])
def test_relative_paths_of_windows_are_read_from_the_configuration(
    text: str, imported: Importer, tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text("a dog\n")
    named = text.format(name=tmp_path.name)
    recipe = imported(
        train_data_dir=named, sample_prompts=r".\prompts.txt", network_weights=r"old\start.safetensors"
    )
    assert recipe.values["data.folder"] == str(tmp_path / "train")
    assert recipe.images.shown == 16
    assert recipe.judge["prompts"] == ["a dog"]
    assert PureWindowsPath(recipe.values["lora.start"]).parts[-2:] == ("old", "start.safetensors")


def test_what_lies_on_windows_and_is_needed_here_is_told_as_it_is_written(imported: Importer) -> None:
    with pytest.raises(StudyError) as caught:
        imported(pretrained_model_name_or_path=r"D:\models\x.safetensors", train_data_dir=r"C:\data")
    base, images = caught.value.problems
    assert base.startswith(r"pretrained_model_name_or_path: D:\models\x.safetensors: ") and "--base" in base
    assert images.startswith(r"train_data_dir: C:\data: there is no such folder;") and "--images" in images


@pytest.mark.parametrize("line", [r'vae = "D:\models\v"', r'vae = "C:\Users\v"', 'vae = "D:\\"'])
def test_backslashes_between_double_quotes_are_told_with_line_and_remedy(
    line: str, imported: Importer, tmp_path: Path
) -> None:
    imported()
    config = tmp_path / "config.toml"
    config.write_text(f"{line}\n{config.read_text()}")
    with pytest.raises(StudyError) as caught:
        read(config)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{config}:1: this is not valid TOML: ") and "single quotes" in problem


def test_a_path_with_a_tab_is_told_with_the_remedy(imported: Importer) -> None:
    with pytest.raises(StudyError, match=r"'C:\\temp' is no path: it holds '\\t'; .*single quotes"):
        imported(vae="C:\temp")


def test_a_prompt_with_backslashes_or_tabs_is_no_path(imported: Importer) -> None:
    assert imported(sample_prompts=r"a dog \(sketch\)").judge["prompts"] == [r"a dog \(sketch\)"]
    assert imported(sample_prompts="a dog,\tsitting").judge["prompts"] == ["a dog,\tsitting"]
