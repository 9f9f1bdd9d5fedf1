"""What is said of programs that cannot use a file."""

from __future__ import annotations

from studies.report.readers import of_file, of_plan
from studies.text.i18n import translator
from trainer.plan import TrainingPlan
from trainer.plans.network import LoraPlan


def test_a_plan_says_who_cannot_use_its_files() -> None:
    plan = LoraPlan.model_validate(
        {"algorithm": "lokr", "conv_rank": 2, "algorithm_args": {"lokr": {"use_tucker": True}}}
    )
    assert list(of_plan(plan)) == [
        "lokr is not read by diffusers: the file has no effect there.",
        "lokr (use_tucker) 3x3 is not read by Forge, ComfyUI: the file has no effect there.",
    ]
    args = {"loha": {"weight_decompose": True}}
    wrong = LoraPlan.model_validate({"algorithm": "loha", "algorithm_args": args})
    told = (
        "loha (weight_decompose) is read wrongly by A1111, Forge, ComfyUI: the file has another effect there."
    )
    assert told in list(of_plan(wrong))
    assert list(of_plan(LoraPlan())) == []
    assert all("diffusers" in told or "ComfyUI" in told for told in of_plan(plan, translator("zh")))


def test_a_file_says_it_by_the_plan_in_it() -> None:
    plan = TrainingPlan.model_validate(
        {"base": {"path": "x"}, "data": {"folder": "y"}, "lora": {"algorithm": "ia3"}}
    )
    (told,) = of_file({"lorasearch_plan": plan.model_dump_json()})
    assert told.startswith("ia3 is not read by Forge, ComfyUI, diffusers")
    assert of_file({"ss_output_name": "x"}) == []
