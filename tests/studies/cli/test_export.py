from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from search.trial import Reason
from studies.report.choice import explained
from studies.sd_scripts.importing import read as read_configuration
from studies.selection import document
from studies.spec.study_file import StudySpec
from tests.studies.cli.conftest import Run
from tests.studies.invented import Invented, invent
from trainer.adapters.bank import Shape
from trainer.adapters.wrapping import bank_for
from trainer.bases.base_model import BaseModel
from trainer.lora_files import file, formats, kohya
from trainer.lora_files.layers import from_state
from trainer.plan import TrainingPlan
from trainer.plan_paths import without_folders


def test_copies_into_a_folder_under_the_studys_name(finished: Invented, tmp_path: Path, run: Run) -> None:
    code, out, _ = run("export", finished.workspace.root, tmp_path / "models" / "Lora")
    assert code == 0
    copy = tmp_path / "models" / "Lora" / "invented.safetensors"
    assert copy.read_bytes() == finished.workspace.best.read_bytes()
    assert f"Copied to {copy}" in out
    assert "sks thing" in out
    assert str(finished.study.spec.plan["base"]["path"]) in out


def test_copies_to_a_name(finished: Invented, tmp_path: Path, run: Run) -> None:
    run("export", finished.workspace.root, tmp_path / "mine.safetensors")
    run("export", finished.workspace.root, tmp_path, "--name", "other")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.safetensors", "other.safetensors"}


def test_another_file_is_overwritten_only_by_force(finished: Invented, tmp_path: Path, run: Run) -> None:
    target = tmp_path / "invented.safetensors"
    target.write_bytes(b"precious")
    code, _, err = run("export", finished.workspace.root, tmp_path)
    assert code == 2
    assert "--force" in err
    assert target.read_bytes() == b"precious"
    assert run("export", finished.workspace.root, tmp_path, "--force")[0] == 0
    assert run("export", finished.workspace.root, tmp_path)[0] == 0


@pytest.mark.parametrize("name", ["../evil", "a/b", " "])
def test_name_cannot_leave_the_folder(name: str, finished: Invented, tmp_path: Path, run: Run) -> None:
    assert run("export", finished.workspace.root, tmp_path, "--name", name)[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_beat_the_base_is_handed_over_only_anyway(tmp_path: Path, run: Run) -> None:
    refused = invent(tmp_path / "refused", trials=1, clip=False)
    worse = Reason("worse_than_base", {"mean": -0.5, "error": 0.1, "tested": True})
    told = explained(refused.selection.model_copy(update={"answers": (worse,)}))
    document.write(refused.workspace, told)
    models = tmp_path / "models"
    code, _, err = run("export", refused.workspace.root, models)
    assert code == 2
    assert "Nothing beats the base model: the best checkpoint found is -0.50 ± 0.10 against it." in err
    assert "`lorasearch export --anyway`" in err
    assert not models.exists()
    assert run("export", refused.workspace.root, models, "--anyway")[0] == 0
    assert (models / "invented.safetensors").read_bytes() == refused.workspace.best.read_bytes()


def test_study_without_a_verdict_has_nothing_to_export(
    unfinished: Invented, tmp_path: Path, run: Run
) -> None:
    code, _, err = run("export", unfinished.workspace.root, tmp_path)
    assert code == 2
    assert "no verdict yet" in err


def test_folder_that_is_a_file_is_told(finished: Invented, tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("")
    assert run("export", finished.workspace.root, tmp_path / "file" / "deeper")[0] == 2
    assert run("export", finished.workspace.root, tmp_path / "file")[0] == 2


@pytest.fixture
def with_lora(
    tmp_path_factory: pytest.TempPathFactory,
    micro_sdxl: Path,
    load_base: Callable[..., BaseModel],
    make_plan: Callable[..., TrainingPlan],
) -> Any:
    """A finished study with a real SDXL LoRA as its best file."""
    finished = invent(tmp_path_factory.mktemp("converted"))
    base = load_base(micro_sdxl)
    bank = bank_for(base, 1)
    bank.open(0, Shape(2, 0.5, ("unet", "text_encoder", "text_encoder_2")), seed=0)
    layers = from_state(bank.state(0), bank.scales(0), bank.kernels)
    plan = make_plan(path=micro_sdxl, text_encoder=True)
    facts = {"lorasearch_plan": plan.model_dump_json(), "ss_output_name": "x"}
    file.write(finished.workspace.best, kohya.write(layers, base.kohya_names), facts, "fp16")
    return finished, base, layers


@pytest.mark.parametrize("layout", ["diffusers", "peft"])
def test_other_formats_hold_the_same_lora(layout: str, with_lora: Any, tmp_path: Path, run: Run) -> None:
    finished, base, layers = with_lora
    code, out, err = run("export", finished.workspace.root, tmp_path, "--name", "mine", "--format", layout)
    assert code == 0, err
    target = tmp_path / ("mine" if layout == "peft" else "mine.safetensors")
    assert f"Copied to {target}" in out
    found = formats.read(target, base.kohya_names, layers)
    assert found.keys() == layers.keys()
    for name, layer in layers.items():
        assert found[name].alpha == (1.0 if layout == "peft" else 2.0), (
            "diffusers' format has no place for it"
        )
        assert found[name].down.dtype == torch.float16
        assert torch.equal(found[name].down, layer.down.half())
    assert run("export", finished.workspace.root, tmp_path, "--name", "mine", "--format", layout)[0] == 0


@pytest.mark.parametrize("layout", ["kohya", "diffusers", "peft"])
def test_no_file_tells_folders(layout: str, with_lora: Any, tmp_path: Path, run: Run) -> None:
    finished = with_lora[0]
    assert "/" in file.read_metadata(finished.workspace.best)["lorasearch_plan"], "as older versions wrote it"
    assert run("export", finished.workspace.root, tmp_path, "--name", "mine", "--format", layout)[0] == 0
    (first, *_) = sorted(tmp_path.rglob("*.safetensors"))
    facts, before = file.read_metadata(first), file.read(finished.workspace.best)
    plan = json.loads(facts["lorasearch_plan"])
    assert plan["base"]["path"] == "micro-sdxl"
    assert plan["lora"].pop("scaling") == "alpha/rank"
    assert "/" not in json.dumps(plan)
    assert facts["ss_output_name"] == "x"
    if layout == "kohya":
        after = file.read(first)
        assert facts["sshs_model_hash"] == before.metadata["sshs_model_hash"]
        assert after.tensors.keys() == before.tensors.keys()
        assert all(torch.equal(after.tensors[key], value) for key, value in before.tensors.items())


def test_who_cannot_read_the_file_is_said(with_lora: Any, tmp_path: Path, run: Run) -> None:
    finished, base, layers = with_lora
    ask = ("export", finished.workspace.root, tmp_path, "--name")
    assert "read by" not in run(*ask, "lora")[1]
    plan = json.loads(file.read_metadata(finished.workspace.best)["lorasearch_plan"])
    plan["lora"] = {"algorithm": "loha"}
    facts = {"lorasearch_plan": json.dumps(plan)}
    file.write(finished.workspace.best, kohya.write(layers, base.kohya_names), facts, "fp16")
    assert "loha is not read by diffusers: the file has no effect there." in run(*ask, "loha")[1]


def test_a_file_without_folders_is_converted_by_the_studys(
    with_lora: Any, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, base, layers = with_lora
    facts = file.read_metadata(finished.workspace.best)
    plan = TrainingPlan.model_validate_json(facts["lorasearch_plan"])
    named = {"lorasearch_plan": without_folders(plan).model_dump_json()}
    file.write(finished.workspace.best, kohya.write(layers, base.kohya_names), named, "fp16")
    ask = ("export", finished.workspace.root, tmp_path, "--format", "diffusers")
    code, _, err = run(*ask)
    assert code == 2
    assert "micro-sdxl" in err, "the study names another base"
    monkeypatch.setattr(StudySpec, "shared_plan", plan)
    assert run(*ask)[0] == 0


def test_a_changed_folder_is_overwritten_only_by_force(with_lora: Any, tmp_path: Path, run: Run) -> None:
    ask = ("export", with_lora[0].workspace.root, tmp_path, "--format", "peft")
    assert run(*ask)[0] == 0
    config = tmp_path / "invented" / "unet" / "adapter_config.json"
    config.write_text("{}")
    assert run(*ask)[0] == 2
    assert config.read_text() == "{}"
    assert run(*ask, "--force")[0] == 0
    assert json.loads(config.read_text())["r"] == 2


def test_peft_wants_a_folder(with_lora: Any, tmp_path: Path, run: Run) -> None:
    code, _, err = run("export", with_lora[0].workspace.root, tmp_path / "x.safetensors", "--format", "peft")
    assert code == 2
    assert "PEFT's format is a folder" in err


def test_a_file_of_unknown_origin_cannot_be_converted(finished: Invented, tmp_path: Path, run: Run) -> None:
    code, _, err = run("export", finished.workspace.root, tmp_path, "--format", "diffusers")
    assert code == 2
    assert "does not say how it was trained" in err


@pytest.fixture
def with_recipe(tmp_path: Path) -> Any:
    """A finished study whose best file says how it was trained, on images that are there."""
    finished = invent(tmp_path / "recipe")
    folder = tmp_path / "train" / "3_thing"
    folder.mkdir(parents=True)
    for i in range(4):
        (folder / f"{i}.png").write_bytes(b"")
    base = Path(__file__).resolve().parents[3] / "studies" / "library" / "assets" / "micro-sd"
    plan = TrainingPlan.model_validate(
        {"base": {"path": base}, "data": {"folder": folder.parent}, "ema": {"decay": 0.9}}
    )
    facts = {"lorasearch_plan": plan.model_dump_json()}
    file.write(finished.workspace.best, {"x.alpha": torch.tensor(1.0)}, facts, "fp16")
    return finished, plan


def test_the_winners_recipe_is_what_is_imported_again(with_recipe: Any, tmp_path: Path, run: Run) -> None:
    finished, plan = with_recipe
    ask = ("export", finished.workspace.root, tmp_path / "kohya", "--sd-scripts", "--name", "mine")
    code, out, err = run(*ask)
    assert code == 0, err
    assert sorted(path.name for path in (tmp_path / "kohya").iterdir()) == [
        "mine.config.toml",
        "mine.dataset.toml",
    ]
    assert "mine.config.toml" in out
    config = tmp_path / "kohya" / "mine.config.toml"
    assert "#   ema.decay = 0.9" in config.read_text()
    again = read_configuration(config).plan
    assert again.data == plan.data
    assert again.optimiser == plan.optimiser
    config.write_text("precious")
    assert run(*ask)[0] == 2
    assert run(*ask, "--force")[0] == 0


def test_a_recipe_of_unknown_origin_is_told(finished: Invented, tmp_path: Path, run: Run) -> None:
    code, _, err = run("export", finished.workspace.root, tmp_path, "--sd-scripts")
    assert code == 2
    assert "does not say how it was trained" in err
