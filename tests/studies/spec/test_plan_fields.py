import pytest

from search.space import parse_parameter
from studies.spec.plan_fields import build, check_space, searchable, size_problems, template_problems
from trainer.plans.data import DataPlan

PLAN = {"base": {"path": "base"}, "data": {"folder": "images"}}


def test_every_leaf_of_the_plan_is_named_by_its_path():
    names = searchable()
    assert names["optimiser.unet_lr"]
    assert names["lora.alpha_over_rank"]
    assert not names["base.path"]
    assert not names["compute.mixed_precision"]


def test_values_replace_the_fields_that_name_them():
    plan = build(PLAN, {"lora.rank": 32, "noise.offset": 0.1, "seed": 3})
    assert (plan.lora.rank, plan.noise.offset, plan.seed) == (32, 0.1, 3)


def test_the_template_is_left_alone():
    build(PLAN, {"data.repeats": 3})
    assert PLAN["data"] == {"folder": "images"}


def test_lists_and_arguments_can_be_fixed_and_not_searched():
    names = searchable()
    assert not names["optimiser.args"]
    assert not names["schedule.stages"]
    assert names["noise.loss"]
    assert names["ema.decay"]
    assert names["schedule.warmup_steps"]


def test_dadaptation_beside_two_rates_is_told_and_beside_one_is_not():
    plan = {**PLAN, "lora": {"text_encoder": True}}
    names = {"optimiser.name": parse_parameter({"choices": ["adamw", "dadaptation"]})}
    ((name, told),) = check_space(plan, names)
    assert name == "optimiser.name"
    assert told.startswith("'dadaptation': ")
    assert "set it to 1" in told
    assert check_space({**plan, "optimiser": {"text_lr_over_unet_lr": 1.0}}, names) == []
    prodigy = {"optimiser.name": parse_parameter({"choices": ["adamw", "prodigy"]})}
    assert check_space(plan, prodigy) == []


def test_everything_that_cannot_work_in_a_plan_is_told_at_once():
    plan = {
        "base": {"path": "base"},
        "data": {
            "folder": "images",
            "keep_tokens": 2,
            "enable_bucket": True,
            "min_bucket_reso": 250,
            "prior_loss_min_weight": 0.1,
        },
        "lora": {"text_encoder": True},
        "optimiser": {"name": "dadaptation"},
        "schedule": {"name": "constant", "warmup_share": 0.1},
        "noise": {"debiased": True, "min_snr_gamma": 5.0},
    }
    told = "\n".join(text for _, text in template_problems(plan, {}))
    for words in (
        "keep_tokens = 2 acts only with shuffle_caption",
        "min_bucket_reso must be a multiple of bucket_reso_steps",
        "prior_loss_min_weight = 0.1 acts only with prior_loss_epochs",
        "warmup_share = 0.1 cannot act with name = 'constant'",
        "both weigh the timesteps",
        "'dadaptation' has one learning rate for all parts",
    ):
        assert words in told


def test_a_lora_to_start_from_has_one_rank():
    plan = {**PLAN, "lora": {"start": "x.safetensors"}}
    ((name, told),) = check_space(plan, {"lora.rank": parse_parameter({"choices": [16, 8]})})
    assert name == "lora.rank"
    assert told.startswith("lora.start = 'x.safetensors' has one rank, but 8, 16 are searched; fix lora.rank")
    assert check_space(PLAN, {"lora.rank": parse_parameter({"choices": [8, 16]})}) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"resolution": 520}, ["data.resolution must be a multiple of 64 for this base model, but got 520."]),
        ({"resolution": 512, "bucket_reso_steps": 32}, []),
        (
            {"resolution": 512, "enable_bucket": True, "bucket_reso_steps": 32},
            ["data.bucket_reso_steps must be a multiple of 64 for this base model, but got 32."],
        ),
    ],
)
def test_sizes_that_do_not_halve_evenly_are_named(fields: dict[str, int], named: list[str]) -> None:
    assert size_problems(DataPlan.model_validate({"folder": "images", **fields}), 64) == named
