"""Configurations of sd3_train_network, flux_train_network and lumina_train_network; expectations worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studies.errors import StudyError
from studies.sd_scripts.exporting import export
from studies.sd_scripts.importing import Recipe, read
from tests.bases import build_chroma, build_flux, build_sd3, build_zimage
from tests.studies.conftest import ASSETS
from tests.studies.sd_scripts.test_importing import imported as imported
from tests.studies.sd_scripts.test_importing import reasons
from trainer.bases import misfits
from trainer.bases.families import FAMILIES
from trainer.plan import TrainingPlan

Importer = Callable[..., Recipe]
FLUX = {
    "clip_l": "clip_l.safetensors",
    "t5xxl": "t5xxl_fp16.safetensors",
    "ae": "ae.safetensors",
    "network_module": "networks.lora_flux",
    "network_dim": 4,
    "network_train_unet_only": True,
    "timestep_sampling": "shift",
    "discrete_flow_shift": 3.1582,
    "model_prediction_type": "raw",
    "guidance_scale": 1.0,
    "apply_t5_attn_mask": True,
    "blocks_to_swap": 18,
}
"""As sd-scripts' guide for FLUX.1 has it."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("bases")
    builders: dict[str, Callable[[Path, Path], Path]] = {
        "sd3": build_sd3,
        "flux": build_flux,
        "zimage": build_zimage,
        "chroma": build_chroma,
    }
    return {name: str(build(folder / name, ASSETS / "micro-sd")) for name, build in builders.items()}


def test_the_guides_recipe_for_flux(imported: Importer, bases: dict[str, str]) -> None:
    recipe = imported(pretrained_model_name_or_path=bases["flux"], **FLUX)
    noise = recipe.plan.noise
    assert (noise.timestep_density, noise.timestep_shift, noise.guidance) == ("logit_normal", 3.1582, 1.0)
    assert (noise.logit_mean, noise.logit_std) == (0.0, 1.0)
    assert recipe.plan.lora.layers == "all" and not recipe.plan.lora.text_encoder
    assert set(reasons(recipe)) == {"clip_l", "t5xxl", "ae", "apply_t5_attn_mask", "blocks_to_swap"}
    assert misfits.misfits(FAMILIES["flux"], recipe.plan) == []


@pytest.mark.parametrize(
    ("keys", "density", "shift", "std", "weighting"),
    [
        ({}, None, None, 1.0, "none"),
        ({"timestep_sampling": "uniform"}, "uniform", 1.0, 1.0, "none"),
        ({"timestep_sampling": "sigmoid", "sigmoid_scale": 0.5}, "logit_normal", 1.0, 0.5, "none"),
        ({"timestep_sampling": "flux_shift"}, "logit_normal", "resolution", 1.0, "none"),
        ({"timestep_sampling": "nextdit_shift"}, "uniform", "resolution", 1.0, "none"),
        ({"timestep_sampling": "sigma", "weighting_scheme": "mode"}, "mode", 3.0, 1.0, "none"),
        ({"weighting_scheme": "sigma_sqrt", "training_shift": 2.0}, "uniform", 2.0, 1.0, "sigma_sqrt"),
        ({"weighting_scheme": "logit_normal", "logit_std": 0.8}, "logit_normal", None, 0.8, "none"),
    ],
)
def test_how_noise_levels_are_spread_and_weighed(
    imported: Importer,
    bases: dict[str, str],
    keys: dict[str, Any],
    density: str | None,
    shift: float | str | None,
    std: float,
    weighting: str,
) -> None:
    noise = imported(pretrained_model_name_or_path=bases["sd3"], **keys).plan.noise
    assert (noise.timestep_density, noise.timestep_shift) == (density, shift)
    assert (noise.logit_std, noise.loss_weighting) == (std, weighting)


@pytest.mark.parametrize(
    ("keys", "density", "mean", "weighting"),
    [
        ({}, "uniform", 0.0, "sigma_squared"),
        ({"weighting_scheme": "logit_normal", "logit_mean": 0.5}, "logit_normal", -0.5, "sigma_squared"),
        ({"weighting_scheme": "sigma_sqrt"}, "uniform", 0.0, "none"),
        ({"weighting_scheme": "cosmap"}, "uniform", 0.0, "sigma_squared"),
    ],
)
def test_sd3s_trainer_compares_pictures(
    imported: Importer,
    bases: dict[str, str],
    keys: dict[str, Any],
    density: str,
    mean: float,
    weighting: str,
) -> None:
    recipe = imported(pretrained_model_name_or_path=bases["sd3"], network_module="networks.lora_sd3", **keys)
    noise = recipe.plan.noise
    assert (noise.timestep_density, noise.timestep_shift) == (density, 1.0)
    assert (noise.logit_mean, noise.loss_weighting) == (mean, weighting)
    assert ("weighting_scheme" in reasons(recipe)) == ("cosmap" in keys.values())


def test_lycoris_on_sd_3_is_trained_by_the_same_trainer(
    imported: Importer, bases: dict[str, str], of_page: Callable[[str, str], Recipe]
) -> None:
    keys = {"weighting_scheme": "sigma_sqrt", "network_module": "lycoris.kohya"}
    noise = imported(
        pretrained_model_name_or_path=bases["sd3"], network_args=["algo=lokr", "preset=attn-mlp"], **keys
    ).plan.noise
    assert (noise.loss_weighting, noise.timestep_density, noise.timestep_shift) == ("none", "uniform", 1.0)
    noise = of_page(bases["sd3"], GUI.format("LyCORIS/LoKr", "false", "true")).plan.noise
    assert (noise.loss_weighting, noise.logit_mean) == ("sigma_squared", -0.5)


def test_directions_have_no_weight_in_flux_trainer(imported: Importer, bases: dict[str, str]) -> None:
    recipe = imported(pretrained_model_name_or_path=bases["flux"], **FLUX, weighting_scheme="sigma_sqrt")
    assert recipe.plan.noise.loss_weighting == "none"
    assert "weighs nothing where directions are compared" in reasons(recipe)["weighting_scheme"]


def test_nothing_is_told_of_keys_that_nobody_wrote(imported: Importer, bases: dict[str, str]) -> None:
    told = reasons(
        imported(
            pretrained_model_name_or_path=bases["chroma"],
            network_module="networks.lora_flux",
            model_prediction_type="raw",
        )
    )
    assert not {"guidance_scale", "weighting_scheme", "text_encoder_lr"} & told.keys()
    lumina = imported(
        pretrained_model_name_or_path=bases["zimage"],
        network_module="networks.lora_lumina",
        cache_text_encoder_outputs=True,
    )
    assert not lumina.plan.lora.text_encoder and "text_encoder_lr" not in reasons(lumina)


def test_keys_of_fluxs_trainer_do_not_reach_sd_3s(imported: Importer, bases: dict[str, str]) -> None:
    recipe = imported(
        pretrained_model_name_or_path=bases["sd3"],
        network_module="networks.lora_sd3",
        training_shift=2.0,
        discrete_flow_shift=1.0,
    )
    assert recipe.plan.noise.timestep_shift == 2.0 and "FLUX.1" in reasons(recipe)["discrete_flow_shift"]


def test_what_flux_trainer_does_where_nothing_is_said(imported: Importer, bases: dict[str, str]) -> None:
    recipe = imported(pretrained_model_name_or_path=bases["flux"], network_module="networks.lora_flux")
    noise = recipe.plan.noise
    assert (noise.timestep_density, noise.timestep_shift, noise.guidance) == ("uniform", 3.0, 3.5)
    assert "'sigma_scaled' is not supported" in reasons(recipe)["model_prediction_type"]


def test_text_encoders_that_are_never_trained_are_not(imported: Importer, bases: dict[str, str]) -> None:
    recipe = imported(pretrained_model_name_or_path=bases["zimage"], network_module="networks.lora_lumina")
    assert not recipe.plan.lora.text_encoder
    assert (recipe.plan.noise.timestep_density, recipe.plan.noise.timestep_shift) == ("logit_normal", 6.0)
    assert misfits.misfits(FAMILIES["zimage"], recipe.plan) == []


def test_the_guides_recipe_for_chroma(imported: Importer, bases: dict[str, str]) -> None:
    more = {"model_type": "chroma", "guidance_scale": 0.0, "timestep_sampling": "sigmoid"}
    recipe = imported(pretrained_model_name_or_path=bases["chroma"], **(FLUX | more))
    assert (recipe.plan.noise.timestep_density, recipe.plan.noise.timestep_shift) == ("logit_normal", 1.0)
    assert misfits.misfits(FAMILIES["chroma"], recipe.plan) == []
    assert "it is always so" in reasons(recipe)["apply_t5_attn_mask"]


def test_another_prediction_and_unknown_words_are_told(imported: Importer, bases: dict[str, str]) -> None:
    recipe = imported(pretrained_model_name_or_path=bases["flux"], model_prediction_type="sigma_scaled")
    assert "'sigma_scaled' is not supported" in reasons(recipe)["model_prediction_type"]
    with pytest.raises(StudyError, match="timestep_sampling must be one of sigma, uniform"):
        imported(pretrained_model_name_or_path=bases["flux"], timestep_sampling="sometimes")
    with pytest.raises(StudyError, match="weighting_scheme must be one of none, uniform"):
        imported(pretrained_model_name_or_path=bases["flux"], weighting_scheme="heavy")


@pytest.mark.parametrize(
    ("family", "noise"),
    [
        (
            "flux",
            {"timestep_density": "logit_normal", "timestep_shift": 3.0, "logit_std": 0.8, "guidance": 3.5},
        ),
        ("flux", {"timestep_density": "logit_normal", "timestep_shift": 1.0}),
        ("flux", {"timestep_density": "logit_normal", "timestep_shift": "resolution"}),
        ("flux", {"timestep_density": "uniform", "timestep_shift": 2.0}),
        ("flux", {"timestep_density": "mode", "timestep_shift": 1.0, "mode_scale": 0.5}),
        (
            "sd3",
            {
                "timestep_density": "logit_normal",
                "timestep_shift": 2.0,
                "logit_mean": 0.5,
                "loss_weighting": "sigma_squared",
            },
        ),
        ("sd3", {"timestep_density": "uniform", "timestep_shift": 3.0, "min_timestep": 1}),
        ("sd3", {"timestep_density": "mode", "timestep_shift": 1.0, "loss_weighting": "sigma_squared"}),
    ],
)
def test_what_is_exported_for_their_flow_trainers_comes_back(
    imported: Importer, bases: dict[str, str], tmp_path: Path, family: str, noise: dict[str, Any]
) -> None:
    plan = imported(
        pretrained_model_name_or_path=bases[family], network_module=f"networks.lora_{family}"
    ).plan
    plan = TrainingPlan.model_validate(plan.model_dump() | {"noise": noise})
    facts = {"ss_base_model_version": FAMILIES[family].lora.version["flow"]}
    made = export(plan, facts, "mine", "mine.dataset.toml")
    (tmp_path / "mine.config.toml").write_text(made.config)
    (tmp_path / "mine.dataset.toml").write_text(made.dataset)
    again = read(tmp_path / "mine.config.toml").plan
    assert again.noise == plan.noise and again.lora.layers == "all"
    assert f'network_module = "networks.lora_{family}"' in made.config


def test_what_our_default_is_and_not_theirs_is_written(imported: Importer, bases: dict[str, str]) -> None:
    """Ours moves SD 3's timesteps as its scheduler says; theirs moves none."""
    plan = imported(pretrained_model_name_or_path=bases["sd3"]).plan
    assert plan.noise.timestep_shift is None
    made = export(plan, {"ss_base_model_version": "sd3"}, "mine", "mine.dataset.toml")
    assert "training_shift = 3.0" in made.config and 'weighting_scheme = "logit_normal"' in made.config


def exported(base: str, version: str, imported: Importer, **noise: Any) -> str:
    plan = imported(pretrained_model_name_or_path=base).plan
    plan = TrainingPlan.model_validate(plan.model_dump() | {"noise": noise})
    return export(plan, {"ss_base_model_version": version}, "mine", "mine.dataset.toml").config


def test_directions_are_compared_and_guidance_is_told_as_here(
    imported: Importer, bases: dict[str, str]
) -> None:
    made = exported(bases["flux"], "flux1", imported)
    assert 'model_prediction_type = "raw"' in made and "guidance_scale = 1.0" in made
    chroma = exported(bases["flux"], "chroma", imported)
    assert "guidance_scale = 0.0" in chroma and "apply_t5_attn_mask = true" in chroma
    assert 'model_type = "chroma"' in chroma


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_a_density_is_said_and_a_weighting_that_cannot_be_is_named(
    imported: Importer, bases: dict[str, str], family: str
) -> None:
    version = FAMILIES[family].lora.version["flow"]
    made = exported(bases[family], version, imported, timestep_density="mode", loss_weighting="cosmap")
    assert 'weighting_scheme = "mode"' in made
    assert "noise.loss_weighting = 'cosmap'" in made


def test_what_they_cannot_train_is_said(imported: Importer, bases: dict[str, str]) -> None:
    plan = imported(pretrained_model_name_or_path=bases["sd3"]).plan
    with pytest.raises(StudyError, match="sd-scripts has no trainer for Krea 2"):
        export(plan, {"ss_base_model_version": "krea2"}, "mine", "mine.dataset.toml")


@pytest.fixture
def of_diffusers(pictures: Callable[..., Path], tmp_path: Path) -> Callable[[str, str], Recipe]:
    images = pictures("shown") / "shown"

    def run(script: str, words: str) -> Recipe:
        config = tmp_path / "train.sh"
        config.write_text(
            f"accelerate launch {script}.py --instance_data_dir={images} "
            f"--instance_prompt='a red heart' --max_train_steps=20 {words}"
        )
        return read(config)

    return run


def test_the_command_line_of_diffusers_example_for_flux(
    bases: dict[str, str], of_diffusers: Callable[[str, str], Recipe]
) -> None:
    plan = of_diffusers(
        "train_dreambooth_lora_flux",
        f"--pretrained_model_name_or_path={bases['flux']} --rank=16 --lora_alpha=8 --guidance_scale=1 "
        "--weighting_scheme=logit_normal --logit_std=0.7 --learning_rate=2e-4 --train_batch_size=2 "
        "--max_sequence_length=512",
    ).plan
    noise = plan.noise
    assert (plan.lora.rank, plan.lora.alpha_over_rank, plan.lora.layers) == (16, 0.5, "default")
    assert (noise.timestep_density, noise.logit_std, noise.timestep_shift) == ("logit_normal", 0.7, None)
    assert (plan.optimiser.unet_lr, plan.optimiser.weight_decay, noise.guidance) == (2e-4, 1e-4, 1.0)
    assert not plan.lora.text_encoder


def test_what_diffusers_scripts_take_where_nothing_is_said(
    bases: dict[str, str], of_diffusers: Callable[[str, str], Recipe]
) -> None:
    where = "--pretrained_model_name_or_path="
    flux = of_diffusers("train_dreambooth_lora_flux", where + bases["flux"]).plan
    assert (flux.noise.guidance, flux.noise.timestep_density, flux.lora.rank) == (3.5, "uniform", 4)
    krea = of_diffusers("train_dreambooth_lora_krea2", where + bases["zimage"]).plan
    assert (krea.lora.rank, krea.lora.alpha_over_rank, krea.optimiser.unet_lr) == (32, 1.0, 3e-4)


@pytest.mark.parametrize(
    ("words", "density", "weighting"),
    [
        ("", "logit_normal", "sigma_squared"),
        ("--precondition_outputs=0", "logit_normal", "none"),
        ("--weighting_scheme=sigma_sqrt", "uniform", "none"),
        ("--precondition_outputs=0 --weighting_scheme=sigma_sqrt", "uniform", "sigma_sqrt"),
    ],
)
def test_diffusers_script_for_sd3_compares_pictures_unless_told(
    bases: dict[str, str],
    of_diffusers: Callable[[str, str], Recipe],
    words: str,
    density: str,
    weighting: str,
) -> None:
    where = f"--pretrained_model_name_or_path={bases['sd3']} "
    noise = of_diffusers("train_dreambooth_lora_sd3", where + words).plan.noise
    assert (noise.timestep_density, noise.loss_weighting) == (density, weighting)


def test_scripts_of_unknown_bases_are_refused_by_name(of_diffusers: Callable[[str, str], Recipe]) -> None:
    for script in ("train_dreambooth_lora_flux_kontext", "train_dreambooth_lora_hidream"):
        with pytest.raises(StudyError, match=f"whose base is known.*{script}"):
            of_diffusers(script, "")


AI_TOOLKIT = """
job: extension
config:
  name: mine
  process:
    - type: sd_trainer
      network: {{type: lora, linear: 8, linear_alpha: 8}}
      train: {{steps: 8, lr: 1e-4, noise_scheduler: flowmatch, timestep_type: {}}}
      model: {{name_or_path: x, arch: zimage}}
"""
SIMPLETUNER = """{{"model_family": "flux", "lora_type": "standard", "max_train_steps": 8, "learning_rate": 1e-4,
"flow_sigmoid_scale": 0.8, "flux_lora_target": "all+ffs", "flux_guidance_value": 1.5{}}}"""
ONETRAINER = """{{"model_type": "Z_IMAGE", "epochs": 1, "peft_type": "LORA", "layer_filter_preset": "{}",
"timestep_distribution": "{}", "noising_weight": 0.5, "noising_bias": 0.25, "timestep_shift": 2.0,
"dynamic_timestep_shifting": {}, "transformer": {{"learning_rate": 2e-4}}}}"""
GUI = """{{"LoRA_type": "{}", "max_resolution": "512,512", "network_dim": 8, "network_alpha": 8, "epoch": 1,
"flux1_checkbox": {}, "sd3_checkbox": {}, "timestep_sampling": "sigmoid", "model_prediction_type": "raw",
"guidance_scale": 1.0, "weighting_scheme": "logit_normal", "logit_mean": 0.5, "logit_std": 0.9}}"""
MUSUBI = 'dit = "x"\nnetwork_module = "networks.lora_zimage"\nnetwork_dim = 8\nmax_train_steps = 8\n'
BY_SIZE = ', "flow_schedule_auto_shift": true'
CASES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("zimage", "yaml", AI_TOOLKIT.format("sigmoid"), {"density": "logit_normal", "shift": 1.0}),
    ("zimage", "yaml", AI_TOOLKIT.format("linear"), {"density": "uniform", "shift": 1.0}),
    ("zimage", "yaml", AI_TOOLKIT.format("shift"), {"density": "uniform", "shift": 3.0}),
    (
        "flux",
        "json",
        SIMPLETUNER.format(""),
        {"density": "logit_normal", "shift": 3.0, "std": 0.8, "guidance": 1.5},
    ),
    ("flux", "json", SIMPLETUNER.format(BY_SIZE), {"density": "logit_normal", "shift": "resolution"}),
    (
        "zimage",
        "json",
        ONETRAINER.format("attn-only", "UNIFORM", "true").replace(
            "}}", '}, "unet": {"learning_rate": 1.0, "train": false}}'
        ),
        {"density": "uniform", "shift": "resolution", "layers": "default", "rate": 2e-4},
    ),
    (
        "zimage",
        "json",
        ONETRAINER.format("blocks", "LOGIT_NORMAL", "false"),
        {"density": "logit_normal", "shift": 2.0, "mean": -0.25, "std": 1.5},
    ),
    (
        "flux",
        "json",
        GUI.format("Flux1", "true", "false"),
        {"density": "logit_normal", "shift": 1.0, "mean": 0.0},
    ),
    (
        "sd3",
        "json",
        GUI.format("Standard", "false", "true"),
        {"density": "logit_normal", "shift": 1.0, "mean": -0.5, "std": 0.9, "weighting": "sigma_squared"},
    ),
    ("zimage", "toml", MUSUBI.replace("lora_zimage", "loha"), {"density": "uniform", "shift": 1.0}),
    ("zimage", "toml", MUSUBI, {"density": "uniform", "shift": 1.0}),
    (
        "zimage",
        "toml",
        MUSUBI + 'timestep_sampling = "shift"\ndiscrete_flow_shift = 2.0',
        {"density": "logit_normal", "shift": 2.0},
    ),
    (
        "zimage",
        "toml",
        MUSUBI + 'timestep_sampling = "qwen_shift"',
        {"density": "logit_normal", "shift": "resolution"},
    ),
    (
        "zimage",
        "toml",
        MUSUBI + 'timestep_sampling = "logsnr"\nlogit_mean = 1.0\nlogit_std = 2.0',
        {"density": "logit_normal", "shift": 1.0, "mean": 0.5, "std": 1.0},
    ),
)
"""Base, kind of file, what it says, and what that is here; all layers are adapted unless it says otherwise."""


def of_trainer(base: str, images: Path, folder: Path, suffix: str, words: str) -> Recipe:
    config = folder / f"config.{suffix}"
    config.write_text(words)
    return read(config, base=Path(base), images=images)


@pytest.fixture
def of_page(pictures: Callable[..., Path], tmp_path: Path) -> Callable[[str, str], Recipe]:
    images = pictures("train/2_cat")
    return lambda base, words: of_trainer(base, images, tmp_path, "json", words)


@pytest.mark.parametrize(("family", "suffix", "words", "wanted"), CASES)
def test_every_trainers_words_for_noise_levels_on_a_flow(
    bases: dict[str, str],
    pictures: Callable[..., Path],
    tmp_path: Path,
    family: str,
    suffix: str,
    words: str,
    wanted: dict[str, Any],
) -> None:
    recipe = of_trainer(bases[family], pictures("train/2_cat"), tmp_path, suffix, words)
    noise, plan = recipe.plan.noise, recipe.plan
    found = {
        "density": noise.timestep_density,
        "shift": noise.timestep_shift,
        "mean": noise.logit_mean,
        "std": noise.logit_std,
        "guidance": noise.guidance,
        "weighting": noise.loss_weighting,
        "layers": plan.lora.layers,
        "rate": plan.optimiser.unet_lr,
    }
    wanted = {"layers": "all", **wanted}
    assert {name: found[name] for name in wanted} == wanted
    assert misfits.misfits(FAMILIES[family], plan) == []
    assert (
        not {"train.timestep_type", "flow_schedule_shift", "timestep_distribution"} & reasons(recipe).keys()
    )


def test_noise_levels_of_a_flow_are_left_out_on_a_diffusion_and_told(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    base = str(ASSETS / "micro-sd")
    recipe = of_trainer(base, pictures("train/2_cat"), tmp_path, "yaml", AI_TOOLKIT.format("linear"))
    assert (recipe.plan.noise.timestep_density, recipe.plan.lora.layers) == (None, "default")
    assert "is of flow-matching bases, but SD 1.x is a diffusion" in reasons(recipe)["train.timestep_type"]
