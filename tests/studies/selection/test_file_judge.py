"""Judging LoRA files of other trainers: the same LoRA gets the same card, whoever wrote the file."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch

from evaluation.scorecard import ScoreCard
from search.trial import Reason
from studies.commands.judge import write
from studies.commands.judge_request import JudgeOptions, examine, rows_for
from studies.report import files_page
from studies.report.choice import answer, explained
from studies.report.explanation import sentence
from studies.selection.base_outline import outline
from studies.selection.file_judge import FileJudge
from studies.selection.judge_request import JudgeRequest
from studies.selection.judged_files import JudgedFiles, judge_files
from studies.selection.lora_files import fitting
from studies.selection.lora_slots import fill
from studies.spec.sections import ConfirmSection, JudgeSection
from studies.text.i18n import ENGLISH, translator
from tests.studies.report.test_page import Page
from trainer.adapters.wrapping import bank_for
from trainer.bases import base_model, find
from trainer.lora_files import file
from trainer.plans.base import BasePlan

NUMBERS = ("validation", "clip_image", "clip_text", "memorisation", "flexibility", "training")


def trained_by_peft(folder: Path, assets: Path) -> tuple[Path, Path]:
    """One LoRA of mixed ranks on attention, convolutions and text: as diffusers saves it, and in kohya's naming."""
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig, get_peft_model_state_dict
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    unet: Any = UNet2DConditionModel.from_pretrained(assets / "micro-sd" / "unet")
    text: Any = CLIPTextModel.from_pretrained(assets / "micro-sd" / "text_encoder")
    targets = ["to_q", "to_k", "to_out.0", "conv1"]
    configs = {
        "unet": LoraConfig(r=4, lora_alpha=6, target_modules=targets, rank_pattern={"to_q": 2}),
        "text_encoder": LoraConfig(r=3, lora_alpha=3, target_modules=["q_proj", "v_proj"]),
    }
    states, kohya = {}, {}
    for part, model in (("unet", unet), ("text_encoder", text)):
        model.add_adapter(configs[part])
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.15)
        states[part] = get_peft_model_state_dict(model)
        for key, value in states[part].items():
            path = re.sub(r"\.lora_[AB]\.weight$", "", key)
            prefix = "lora_unet_" if part == "unet" else "lora_te_text_model_"
            stem = prefix + path.removeprefix("text_model.").replace(".", "_")
            kohya[f"{stem}.{'lora_down' if 'lora_A' in key else 'lora_up'}.weight"] = value.contiguous()
            kohya[f"{stem}.alpha"] = torch.tensor(float(configs[part].lora_alpha))
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=states["unet"],
        text_encoder_lora_layers=states["text_encoder"],
        weight_name="theirs.safetensors",
        unet_lora_adapter_metadata=configs["unet"].to_dict(),
        text_encoder_lora_adapter_metadata=configs["text_encoder"].to_dict(),
    )
    from safetensors.torch import save_file

    save_file(kohya, folder / "kohya.safetensors")
    return folder / "theirs.safetensors", folder / "kohya.safetensors"


def ours(path: Path, source: Path, assets: Path) -> Path:
    """The same LoRA as a trial's checkpoint is written."""
    base = base_model.load(assets / "micro-sd", device=torch.device("cpu"))
    drawn = outline(find.find(BasePlan(path=assets / "micro-sd")))
    bank = bank_for(base, 1)
    fill(bank, 0, fitting(source, drawn), drawn)
    file.write(path, file.slot_keys(bank, 0, base.kohya_names), {"ss_epoch": "3"}, "no")
    return path


@pytest.fixture(scope="module")
def files(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("loras")
    theirs, kohya = trained_by_peft(folder, assets)
    return theirs, kohya, ours(folder / "ours.safetensors", theirs, assets)


@pytest.fixture(scope="module")
def request_for(assets: Path, demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    data = tmp_path_factory.mktemp("images")
    for picture in sorted(demo_folder.glob("*/*.png"))[:16]:
        shutil.copy(picture, data)
        shutil.copy(picture.with_suffix(".txt"), data)

    def make(*files: Path, **words: Any) -> JudgeOptions:
        facts: dict[str, Any] = {
            "base": assets / "micro-sd",
            "data": data,
            "clip": str(assets / "micro-clip"),
            "out": tmp_path_factory.mktemp("out"),
        }
        return JudgeOptions(files, **(facts | words))

    return make


def quick(request: JudgeRequest) -> JudgeRequest:
    judge = JudgeSection.model_validate(
        {
            **request.judge.model_dump(),
            "steps": 3,
            "prompt_count": 2,
            "timesteps": 3,
            "outside_prompts": "objects",
        }
    )
    confirm = ConfirmSection(timesteps=4, prompt_count=2, seeds_per_prompt=1, outside_prompt_count=2)
    return replace(request, judge=judge, confirm=confirm)


@pytest.fixture(scope="module")
def judged(files: tuple[Path, Path, Path], request_for: Any) -> tuple[JudgedFiles, JudgeRequest]:
    request = quick(examine(request_for(*files)))
    return judge_files(request, lambda text: None), request


LOSSES = {"validation", "validation_by_timestep", "training"}


def flat(scores: ScoreCard) -> dict[str, Any]:
    """A card with its metrics beside everything else."""
    card = scores.to_json()
    return {**card.pop("metrics"), **card}


def numbers(value: Any) -> Iterator[float]:
    match value:
        case bool() | str() | None:
            return
        case int() | float():
            yield float(value)
        case dict():
            for inner in value.values():
                yield from numbers(inner)
        case list():
            for inner in value:
                yield from numbers(inner)


def test_files_of_diffusers_kohya_and_ours_get_the_same_card(
    judged: tuple[JudgedFiles, JudgeRequest],
) -> None:
    selection = judged[0].selection
    first, *others = [flat(one.scores) for one in selection.candidates]
    again, *more = [flat(one.scores) for one in sorted(selection.finalists, key=lambda f: f.trial)]
    assert abs(first["validation"]["difference"]["mean"]) > 1e-3, "the LoRA must change something"
    for other, confirmed in zip(others, more, strict=True):
        for mine, theirs in ((first, other), (again, confirmed)):
            assert mine.keys() == theirs.keys()
            for name in mine:
                # a picture's 256 levels turn a rounding error into a step now and then; losses have no steps
                near = {"rel_tol": 1e-5, "abs_tol": 1e-5 if name in LOSSES else 0.02}
                pairs = zip(numbers(mine[name]), numbers(theirs[name]), strict=True)
                assert all(math.isclose(a, b, **near) for a, b in pairs), name


def test_each_card_is_that_of_the_pipeline_with_the_file_loaded(
    files: tuple[Path, Path, Path], judged: tuple[JudgedFiles, JudgeRequest], assets: Path
) -> None:
    """diffusers' own loader and the plain formula give the validation figure."""
    from diffusers import StableDiffusionPipeline

    from evaluation.validation import cells
    from trainer.data.caches import TensorCache
    from trainer.data.encoded import Encoded
    from trainer.seeds import derive

    case = judged[1]
    base = base_model.load(assets / "micro-sd", device=torch.device("cpu"))
    data = Encoded(case.images.dataset, base, TensorCache(case.cache))
    pipe = StableDiffusionPipeline.from_pretrained(
        assets / "micro-sd", safety_checker=None, torch_dtype=torch.float32
    )
    seed, logs = derive(case.seed, "exam", "search"), []
    image = case.images.dataset.split.validation[0]
    grid = cells(data, image, case.judge.timesteps, seed)
    for loaded in (False, True):
        if loaded:
            pipe.load_lora_weights(files[0].parent, weight_name=files[0].name)
        tokens = pipe.tokenizer(grid.caption, padding="max_length", max_length=77, return_tensors="pt")
        with torch.no_grad():
            said = pipe.text_encoder(tokens.input_ids)[0]
            noised = pipe.scheduler.add_noise(grid.latents, grid.noise, grid.timesteps)
            predicted = pipe.unet(noised, grid.timesteps, said.expand(len(noised), -1, -1)).sample
        logs.append(((predicted - grid.noise) ** 2).mean(dim=(1, 2, 3)).double().log())
    expected = float((logs[1] - logs[0]).mean())
    found = judged[0].selection.candidates[0].scores.validation_by_image[0]
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_the_document_says_what_won_and_why(judged: tuple[JudgedFiles, JudgeRequest]) -> None:
    selection = explained(judged[0].selection)
    document = json.loads(json.dumps(selection.to_json()))
    assert document["winner"]["file"] in {entry["file"] for entry in document["candidates"]}
    assert list(document["explanation"]["verdicts"].values()).count("best") == 1
    assert {entry["rank"] for entry in document["candidates"]} == {4}
    assert not document["images"]["never_trained_on"]
    assert "--held-out" in sentence(judged[1].images.warnings[-1])
    assert not document["confirmation"]["separable"], "the same LoRA thrice cannot be told apart"


def test_the_page_holds_table_pictures_and_no_network(
    judged: tuple[JudgedFiles, JudgeRequest], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    files_page.write(path, *judged)
    html = path.read_text()
    page = Page(html)
    own = html[: html.index("plotly.js v")]
    assert own.count("<tr") == 1 + 1 + 3 + 1 + 2 + 3, "heads, the base, the files; the held-out images, too"
    pairs = own.count("<figure>")
    assert own.count("data:image/png") == 2 * (2 + 3) + 2 * pairs
    (bars,) = json.loads(page.plots["plot-timesteps"])["data"]
    assert len(bars["x"]) == len(judged[0].selection.finest.validation_by_timestep)
    assert all(address.startswith("data:") for address in page.addresses)
    assert "may have been trained on" in html


def test_the_table_has_a_row_a_file(judged: tuple[JudgedFiles, JudgeRequest]) -> None:
    table = pandas.read_csv(write(judged[0], judged[1], ENGLISH).table)
    assert sorted(table["file"]) == sorted(entry.file for entry in judged[0].selection.candidates)
    assert {"run", "epoch", "objective", "validation", "validation_error"} <= set(table.columns)


def test_the_page_speaks_chinese(judged: tuple[JudgedFiles, JudgeRequest], tmp_path: Path) -> None:
    path, chinese, selection = tmp_path / "report.html", translator("zh"), judged[0].selection
    clear = selection.model_copy(update={"answers": (Reason("better", {"mean": 1.0, "error": 0.1}),)})
    files_page.write(path, replace(judged[0], selection=clear), judged[1], chinese)
    assert '<p class="headline">请使用' in path.read_text()
    files_page.write(path, *judged, chinese)
    html = path.read_text()
    assert '<html lang="zh-CN">' in html
    assert re.search(rf'<p class="headline[ a-z]*">{re.escape(answer(selection, chinese))}</p>', html), (
        "doubts take the place of the advice"
    )
    text = re.sub(r"<(style|script).*?</(style|script)>|<[^>]+>", " ", html, flags=re.DOTALL)
    english = set(re.findall(r"\b[a-z]{4,}\b", text))
    assert english & {"judged", "epoch", "best", "behind", "images", "pictures", "validation"} == set()


def test_two_passes_give_the_figures_of_one(
    files: tuple[Path, Path, Path], judged: tuple[JudgedFiles, JudgeRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.selection.file_slots._BANK_BYTES", 1)
    told: list[str] = []
    cards = FileJudge(judged[1], told.append).score([0, 1])
    assert sum(text.startswith("scoring") for text in told) == 2
    for (card, _), entry in zip(cards, judged[0].selection.candidates, strict=False):
        assert card.validation.mean == pytest.approx(entry.scores.validation.mean, rel=1e-5)


def test_large_pictures_are_drawn_few_at_a_time() -> None:
    assert [rows_for(side) for side in (64, 512, 768, 1024, 2048)] == [64, 16, 7, 4, 2]
