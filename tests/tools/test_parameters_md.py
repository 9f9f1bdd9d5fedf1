from __future__ import annotations

from pathlib import Path

import pytest

from studies.cli.main import COMMANDS
from studies.sd_scripts.names import OPTIMISERS
from studies.spec import plan_fields
from tools import parameters_md
from trainer.plans.fields import Frozen, field, means, same, shared
from trainer.plans.optimiser_kinds import OPTIMISERS as KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "parameters.md"
WRITTEN = parameters_md.page()
CODE_NAMES = [
    *("num_repeats", "N_name", "max_train_epochs", "train_batch_size"),
    *("save_every_n_epochs", "save_precision", "learning_rate", "unet_lr"),
    *("text_encoder_lr", "scale_weight_norms", "network_train_unet_only", "network_train_text_encoder_only"),
    *("network_dim", "network_alpha", "network_args", "resolution"),
    *("enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps"),
    *("bucket_no_upscale", "shuffle_caption", "keep_tokens", "weighted_captions"),
    *("max_token_length", "clip_skip", "reg_data_dir", "prior_loss_weight"),
    *("noise_offset", "adaptive_noise_scale", "multires_noise_iterations", "multires_noise_discount"),
    *("ip_noise_gamma", "min_snr_gamma", "debiased_estimation_loss"),
]
ROWS = [
    *("repeats", "epochs", "gradient accumulation", "total steps", "early stopping with patience"),
    *(
        "warm-up",
        "schedulers",
        "staged LR",
        "optimisers",
        "keyword arguments",
        "weight decay",
        "max grad norm",
    ),
    *(
        "LoRA dropout",
        "rank dropout",
        "module dropout",
        "text-encoder stop ratio",
        "freeze / unfreeze blocks",
    ),
    *("per-block dims", "per-block LRs", "LoRA+ ratio", "EMA of the LoRA weights", "CPU only", "attention"),
    *(
        "conv dim",
        "conv alpha",
        "LoHa / LoKr",
        "starting from another LoRA",
        "mixing other LoRAs with weights",
    ),
    *("base model", "separate VAE", "aspect buckets", "centre crop", "random crop", "horizontal flip"),
    *("small rotation", "scaling", "colour augmentation", "latent cache", "captions", "seed", "resizing"),
    *("token emphasis", "pad tokens", "caption dropout", "concepts list", "several folders"),
    *(
        "regularisation images",
        "scaled prior loss",
        "split train / validation / test",
        "k-fold",
        "dataset check",
    ),
    *("pyramid noise", "v-prediction", "zero-terminal SNR", "huber / smooth l1", "sample prompts"),
    *("negative prompt", "CFG", "black or constant samples"),
]


def test_the_page_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == WRITTEN, (
        "run `python -m tools.parameters_md > docs/parameters.md`"
    )


@pytest.mark.parametrize(
    "field", [*parameters_md.plan_fields(), *parameters_md.study_fields()], ids=lambda f: f.name
)
def test_every_field_says_what_it_means(field: parameters_md.Field) -> None:
    assert len(field.text) > 4
    assert field.values


def test_searched_and_shared_are_the_plans_own_words() -> None:
    said = {field.name: field.searched for field in parameters_md.plan_fields()}
    assert said == plan_fields.searchable()
    own = {field.name: field.own for field in parameters_md.plan_fields()}
    assert own["data.fold"] and not said["data.fold"]
    assert not own["data.resolution"]


@pytest.mark.parametrize("name", CODE_NAMES)
def test_every_code_name_of_the_guides_is_on_the_page(name: str) -> None:
    assert name in WRITTEN


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_guides_is_on_the_page(row: str) -> None:
    assert row in WRITTEN


@pytest.mark.parametrize("command", ["run", "check", "caption"])
def test_what_is_no_field_names_a_command(command: str) -> None:
    assert command in COMMANDS
    assert f"`lorasearch {command}`" in WRITTEN


def test_no_command_is_named_that_does_not_exist() -> None:
    gone = {command for command, _ in parameters_md.ELSEWHERE.values()} - COMMANDS.keys()
    for command in gone:
        assert f"`lorasearch {command}`" not in WRITTEN


def test_all_optimisers_have_their_sd_scripts_name() -> None:
    assert OPTIMISERS.keys() == KINDS.keys()
    assert len({name.lower() for name in OPTIMISERS.values()}) == len(OPTIMISERS)


@pytest.mark.parametrize(
    ("name", "values", "default"),
    [
        ("lora.rank", "whole number ≥ 1, ≤ 1024", "16"),
        ("data.max_token_length", "`75`, `150`, `225`", "75"),
        ("noise.min_snr_gamma", "number > 0", "none"),
        ("base.path", "path", "required"),
        ("compute.mixed_precision", "`no`, `fp16`, `bf16`", "no"),
    ],
)
def test_ranges_and_defaults_come_from_the_model(name: str, values: str, default: str) -> None:
    (field,) = [field for field in parameters_md.plan_fields() if field.name == name]
    assert (field.values, field.default) == (values, default)


class ToySection(Frozen):
    """A section that only this test knows."""

    warmth: float = field(1.0, same("toy_warmth", unit="kelvin", row="heat"), gt=0)
    """How warm the latents are."""
    ground: str = shared("grass", means("toy_ground", row="meadow"))
    """What they stand on."""


class ToyPlan(Frozen):
    """A plan of one section."""

    toy: ToySection = ToySection()


def test_a_field_is_on_the_page_by_itself_alone() -> None:
    rows = list(parameters_md.plan_tables(parameters_md.fields(ToyPlan)))
    assert "## `plan.toy`" in rows
    assert rows[-2:] == [
        "| `toy.warmth` | `toy_warmth` | heat | How warm the latents are. | kelvin | number > 0 | 1 | yes "
        "| each trial its own |",
        "| `toy.ground` | `toy_ground` | meadow | What they stand on. |  | text | grass | no | same for all |",
    ]


def test_a_field_of_the_study_file_is_on_the_page_by_itself_alone() -> None:
    (*_, row) = parameters_md.study_table(parameters_md.fields(ToySection))
    assert row == "| `ground` | `toy_ground` | meadow | What they stand on. |  | text | grass |"


def test_a_field_can_be_searched_by_itself_alone() -> None:
    assert plan_fields.searchable(ToyPlan) == {"toy.warmth": True, "toy.ground": False}
