"""What a LoRA file says of places on the disk that it was trained on."""

from __future__ import annotations

import json

from trainer.plan import TrainingPlan
from trainer.plan_paths import with_folders, without_folders

HOME = "/home/jane.doe"


def plan(home: str = HOME) -> TrainingPlan:
    return TrainingPlan.model_validate(
        {
            "base": {
                "path": f"{home}/models/sd15.safetensors",
                "vae": f"{home}/vae",
                "loras": [{"file": f"{home}/a/style.safetensors", "weight": 0.5}],
            },
            "data": {
                "folder": f"{home}/sets/cat",
                "folders": [f"{home}/a/img", f"{home}/b/img"],
                "concepts": f"{home}/concepts.json",
                "reg_folder": f"{home}/reg",
            },
            "lora": {"start": f"{home}/start.safetensors", "rank": 7},
        }
    )


def test_names_stay_and_folders_go() -> None:
    text = without_folders(plan()).model_dump_json()
    assert "jane" not in text
    assert "/" not in text.replace("alpha/rank", "")
    found = json.loads(text)
    assert found["base"]["path"] == "sd15.safetensors"
    assert found["base"]["loras"] == [{"file": "style.safetensors", "weight": 0.5}]
    assert found["data"]["folders"] == ["img", "img"]
    assert found["lora"]["rank"] == 7


def test_windows_folders_go_too() -> None:
    found = without_folders(plan("C:\\Users\\Jane Doe"))
    assert str(found.base.path) == "sd15.safetensors"
    assert "Jane" not in found.model_dump_json()


def test_hub_names_stay_whole() -> None:
    hub = TrainingPlan.model_validate({"base": {"path": "org/model"}, "data": {"folder": "x"}})
    assert str(without_folders(hub).base.path) == "org/model"


def test_the_study_knows_the_folders_again() -> None:
    assert with_folders(without_folders(plan()), plan()) == plan()


def test_what_the_study_calls_otherwise_stays() -> None:
    moved = plan().model_copy(update={"base": plan().base.model_copy(update={"path": plan().base.vae})})
    found = with_folders(without_folders(plan()), moved)
    assert str(found.base.path) == "sd15.safetensors"
    assert found.data == plan().data
    assert with_folders(plan(), moved) == plan(), "a plan with folders keeps its own"
