"""Networks of sd-scripts and LyCORIS in our terms, as the two read their arguments (sd-scripts 0.9, LyCORIS 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studies.errors import StudyError
from studies.sd_scripts.importing import Recipe, read
from studies.sd_scripts.network import PRESETS
from studies.sd_scripts.study_file import space
from studies.spec.toml import key, value
from tests.studies.conftest import ASSETS

Imported = Callable[..., Recipe]
SWITCHES_OFF = (
    "use_tucker=False rank_dropout=0 bypass_mode=False dora_wd=False module_dropout=0 use_scalar=False "
    "rank_dropout_scale=False train_norm=False"
)
"""As kohya_ss' page writes them, whatever they are."""


@pytest.fixture
def imported(pictures: Callable[..., Path], tmp_path: Path) -> Imported:
    """Imports a LyCORIS network of dim 16 and alpha 8 with these arguments."""
    train = pictures("train/2_thing")

    def run(arguments: str, **more: Any) -> Recipe:
        keys = {
            "pretrained_model_name_or_path": str(ASSETS / "micro-sd"),
            "train_data_dir": str(train),
            "max_train_epochs": 2,
            "learning_rate": 1e-4,
            "network_module": "lycoris.kohya",
            "network_dim": 16,
            "network_alpha": 8,
            "network_args": arguments.split(),
            **more,
        }
        config = tmp_path / "config.toml"
        config.write_text("".join(f"{key(k)} = {value(v)}\n" for k, v in keys.items()))
        return read(config)

    return run


def told(recipe: Recipe) -> dict[str, str]:
    return {unmet.key: unmet.reason for unmet in recipe.unmet}


@pytest.mark.parametrize("zero", ["conv_dim=0 conv_alpha=0", "conv_dim=0", "conv_dim=0 conv_alpha=4"])
def test_a_conv_dim_of_zero_trains_no_convolution(zero: str, imported: Imported) -> None:
    recipe = imported(f"algo=locon {zero}")
    assert recipe.plan.lora.conv_rank is None
    assert "1x1 convolutions" in told(recipe)["network_args: conv_dim"]


def test_a_plain_lora_without_convolutions_lacks_nothing(imported: Imported) -> None:
    recipe = imported("conv_dim=0 conv_alpha=0", network_module="networks.lora")
    assert recipe.plan.lora.conv_rank is None
    assert recipe.unmet == ()


@pytest.mark.parametrize(
    ("arguments", "rank", "share"),
    [
        ("conv_dim= conv_alpha=", 16, 0.5),
        ("conv_dim=8 conv_alpha=0", 8, 1.0),
        ("conv_alpha=4", 16, 0.25),
        ("conv_dim=8 conv_alpha=4", 8, 0.5),
    ],
)
def test_what_is_left_empty_is_the_networks_own_and_alpha_zero_is_the_rank(
    arguments: str, rank: int, share: float, imported: Imported
) -> None:
    lora = imported(f"algo=locon {arguments}").plan.lora
    assert (lora.conv_rank, lora.conv_alpha_over_rank) == (rank, share)


@pytest.mark.parametrize("algorithm", ["loha", "lokr", "glora", "diag-oft", "boft", "full", "ia3"])
def test_switches_that_are_off_ask_for_nothing(algorithm: str, imported: Imported) -> None:
    recipe = imported(f"preset=full conv_dim=8 conv_alpha=4 {SWITCHES_OFF} algo={algorithm}")
    lora = recipe.plan.lora
    assert (lora.algorithm, lora.rank, lora.file_alpha) == (algorithm, 16, 8)
    assert (lora.conv_rank, lora.conv_alpha_over_rank) == (8, 0.5)
    assert lora.algorithm_args == {}
    assert recipe.unmet == ()


def test_switches_that_are_on_act_or_are_told(imported: Imported) -> None:
    recipe = imported("algo=loha dora_wd=True use_cp=True bypass_mode=True use_scalar=True factor=8")
    assert recipe.plan.lora.algorithm_args == {"loha": {"weight_decompose": True, "use_tucker": True}}
    assert told(recipe) == {
        "network_args: bypass_mode": "no effect here (it changes how a layer is computed, not what it learns)",
        "network_args: use_scalar": "not supported with loha",
        "network_args: factor": "not supported with loha",
    }


@pytest.mark.parametrize("convolutions", ["conv_dim=100000 conv_alpha=1", ""])
def test_a_rank_beyond_all_bounds_is_lokrs_whole_matrix(convolutions: str, imported: Imported) -> None:
    recipe = imported(f"algo=lokr factor=6 {convolutions}", network_dim=100000, network_alpha=1)
    lora = recipe.plan.lora
    assert lora.algorithm_args == {"lokr": {"factor": 6, "full_matrix": True}}
    assert lora.conv_rank is not None
    assert not {"lora.rank", "lora.alpha_over_rank"} & space(recipe.plan).keys()
    assert recipe.unmet == ()
    (line,) = recipe.converted
    assert line.startswith("network_dim: 100000 asks LoKr for its second factor as a whole matrix")


def test_whole_matrices_are_whole_in_convolutions_too(imported: Imported) -> None:
    recipe = imported("algo=lokr conv_dim=8", network_dim=9999)
    assert told(recipe) == {
        "network_args: conv_dim": "8: the matrices of convolutions are whole too",
    }


def test_a_rank_beyond_all_bounds_is_wrong_elsewhere(imported: Imported) -> None:
    with pytest.raises(StudyError, match="network_dim: input should be less than or equal to 1024"):
        imported("algo=loha", network_dim=100000)


@pytest.mark.parametrize("algorithm", ["ia3", "full", "boft"])
def test_dropout_that_lycoris_never_uses_is_idle(algorithm: str, imported: Imported) -> None:
    recipe = imported(f"algo={algorithm}", network_dropout=0.3)
    assert (recipe.plan.lora.algorithm, recipe.plan.lora.dropout) == (algorithm, 0.0)
    assert told(recipe) == {"network_dropout": f"no effect here (LyCORIS' {algorithm} never uses it)"}


def test_dropout_that_acts_there_and_not_here_is_not_honoured(imported: Imported) -> None:
    recipe = imported("algo=loha rank_dropout=0.1 module_dropout=0.2", network_dropout="0.3")
    assert (recipe.plan.lora.rank_dropout, recipe.plan.lora.module_dropout) == (0.0, 0.0)
    assert set(told(recipe).values()) == {"not supported with loha"}


@pytest.mark.parametrize(("module", "algorithm"), [("networks.loha", "loha"), ("networks.lokr", "lokr")])
def test_sd_scripts_own_loha_and_lokr_leave_convolutions_alone(
    module: str, algorithm: str, imported: Imported
) -> None:
    lora = imported("", network_module=module).plan.lora
    assert (lora.algorithm, lora.conv_rank) == (algorithm, None)


SDXL_WEIGHTS = f"block_lr_weight={','.join(['0'] * 8 + ['1'] * 7 + ['0'] * 8)}"
SD1_WEIGHTS = f"block_lr_weight={','.join(['1'] * 12 + ['0.5'] + ['1'] * 12)}"


@pytest.mark.parametrize("name", ["stabilityai/stable-diffusion-xl-base-1.0", "someone/dreams"])
def test_23_numbers_are_sdxls_while_the_base_is_not_on_this_disk(
    name: str, imported: Imported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    recipe = imported(SDXL_WEIGHTS, network_module="networks.lora", pretrained_model_name_or_path=name)
    assert recipe.values["lora.block_lrs"]["up_blocks.1.attentions.0"] == 0
    assert "up_blocks.3" not in str(recipe.values["lora.block_lrs"])
    assert bool(recipe.converted) == (name == "someone/dreams")


def test_25_numbers_are_those_of_sd_1(imported: Imported) -> None:
    recipe = imported(SD1_WEIGHTS, network_module="networks.lora", pretrained_model_name_or_path="a/sdxl-b")
    assert recipe.values["lora.block_lrs"] == {"mid_block": 0.5}
    assert recipe.converted == (
        "network_args: a/sdxl-b is not on this disk; the number of blocks is that of SD 1.x",
    )


def test_curves_of_weights_go_by_the_hub_name(imported: Imported) -> None:
    recipe = imported(
        "down_lr_weight=zeros", network_module="networks.lora", pretrained_model_name_or_path="a/sdxl-b"
    )
    assert recipe.values["lora.block_lrs"] == {
        f"down_blocks.{block}.attentions.{place}": 0.0 for block in (1, 2) for place in (0, 1)
    }


@pytest.mark.parametrize("switch", ["rs_lora", "use_rslora"])
def test_a_plain_lora_may_be_rank_stabilised_and_decomposed(switch: str, imported: Imported) -> None:
    recipe = imported(f"algo=lora preset=attn-mlp dora_wd=True wd_on_output=True {switch}=True")
    lora = recipe.plan.lora
    assert (lora.algorithm, lora.dora, lora.scaling, lora.alpha_over_rank) == (
        "lora",
        True,
        "alpha/sqrt(rank)",
        0.5,
    )
    assert not told(recipe)


def test_what_cannot_go_with_dora_is_told_and_left_out(imported: Imported) -> None:
    recipe = imported(
        "preset=attn-mlp dora_wd=True wd_on_output=False rank_dropout=0.1",
        network_dropout=0.2,
        network_weights="start.safetensors",
    )
    lora = recipe.plan.lora
    assert (lora.dora, lora.dropout, lora.rank_dropout, lora.start) == (True, 0, 0, None)
    assert told(recipe).keys() == {
        "network_args: wd_on_output",
        "network_args: rank_dropout",
        "network_dropout",
        "network_weights",
    }


@pytest.mark.parametrize(
    ("preset", "convolutions", "text", "differs"),
    [
        ("full", True, True, ""),
        ("full-lin", False, True, "1x1 convolutions of ResNet blocks come with lora.conv_rank only"),
        ("attn-mlp", False, True, ""),
        ("attn-only", False, True, "feed-forward layers are adapted here, too"),
        ("unet-only", True, False, ""),
        ("unet-transformer-only", False, False, ""),
        ("unet-convblock-only", True, False, "attention blocks are adapted here, too"),
        ("ia3", False, True, "to_k, to_v and ff.net.2 alone"),
        (
            "mine.toml",
            True,
            True,
            "'mine.toml' is not supported, 'full' is taken; we have full, full-lin, attn-mlp",
        ),
    ],
)
def test_presets_of_lycoris_say_which_layers_are_trained(
    preset: str, convolutions: bool, text: bool, differs: str, imported: Imported
) -> None:
    recipe = imported(f"algo=loha preset={preset}")
    assert (recipe.plan.lora.conv_rank is not None) is convolutions
    assert recipe.plan.lora.text_encoder is text
    assert set(told(recipe)) == ({"network_args: preset"} if differs else set())
    assert differs in told(recipe).get("network_args: preset", "")
    assert any("trains no text encoder" in line for line in recipe.converted) is not text


def test_every_preset_of_the_installed_lycoris_is_known() -> None:
    from lycoris.config import PRESET

    for name, theirs in PRESET.items():
        ours = PRESETS[name]
        convolving = "ResnetBlock2D" in theirs["unet_target_module"] and theirs["enable_conv"]
        trains_text = bool(theirs["text_encoder_target_module"] or theirs["text_encoder_target_name"])
        assert (ours.convolutions, ours.text) == (convolving, trains_text), name
