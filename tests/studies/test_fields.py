from studies.fields import build, searchable

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
