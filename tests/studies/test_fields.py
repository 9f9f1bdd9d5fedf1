from search.space import parse_parameter
from studies.fields import build, check_space, searchable

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
