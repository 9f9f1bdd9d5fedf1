import pickle
from pathlib import Path

import pytest

from studies.errors import StudyError
from studies.spec import study_file

LIBRARY = Path(__file__).resolve().parents[3] / "studies" / "library"
GOOD = """\
[study]
name = "x"
[plan.base]
path = "base"
[plan.data]
folder = "images"
[budget]
trials = 4
images_per_trial = 100
[search.space]
"optimiser.unet_lr" = { low = 1e-5, high = 1e-2, log = true }
[objective]
validation = 1.0
"""


def problems_of(text: str) -> list[str]:
    with pytest.raises(StudyError) as caught:
        study_file.parse(text, Path("/data"), "study.toml")
    return caught.value.problems


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_study_is_valid(path: Path):
    assert study_file.load(path).study.name == path.stem


def test_paths_are_relative_to_the_study_file():
    parsed = study_file.parse(GOOD, Path("/data"))
    assert parsed.plan["base"]["path"] == "/data/base"
    assert parsed.plan["data"]["folder"] == "/data/images"


def test_paths_of_other_loras_are_relative_to_the_study_file():
    more = """
[plan.base]
path = "base"
loras = [{ file = "other.safetensors", weight = 0.5 }]
[plan.lora]
start = "first.safetensors"
"""
    parsed = study_file.parse(GOOD.replace('[plan.base]\npath = "base"\n', more), Path("/data"))
    assert parsed.plan["base"]["loras"] == [{"file": "/data/other.safetensors", "weight": 0.5}]
    assert parsed.plan["lora"]["start"] == "/data/first.safetensors"


def test_all_problems_are_listed_at_once_each_with_its_line():
    bad = """\
[study]
name = "bad name"
[plan.base]
path = "base"
[plan.data]
folder = "images"
resolutoin = 512
[plan.lora]
alpha_over_rank = 2.0
[budget]
images_per_trial = 100
[search]
sampler = "tpp"
pruner = { name = "ashe" }
[search.space]
"optimiser.unet_lr" = { low = 1e-2, high = 1e-5, log = true }
"lora.rnk" = { choices = [4, 8] }
"data.resolution" = { choices = [512, 768] }
"""
    problems = "\n".join(problems_of(bad))
    expected = [
        "study.toml:2: study.name: must be 1-64 letters",
        "study.toml:7: plan.data.resolutoin: the training plan has no such field; did you mean data.resolution?",
        "study.toml:9: plan.lora.alpha_over_rank:",
        "study.toml:10: budget:",
        "Unknown sampler 'tpp'; choose one of: cmaes, gp, qmc, random, tpe.",
        "low must not exceed high, but got low=0.01 and high=1e-05",
        'study.toml:17: search.space."lora.rnk": the training plan has no such field; did you mean lora.rank?',
        "is the same for all trials of a study and can't be searched",
    ]
    for sentence in expected:
        assert sentence in problems


def test_an_unknown_pruner_is_told_with_the_choices():
    text = GOOD.replace("[search.space]", '[search]\npruner = { name = "ashe" }\n[search.space]')
    (problem,) = problems_of(text)
    assert (
        "Unknown pruner 'ashe'; choose one of: asha, forecast, hyperband, median, none, pace, percentile, wilcoxon."
        in problem
    )


def test_alpha_above_rank_is_refused_in_the_space_too():
    (problem,) = problems_of(
        GOOD.replace("[objective]", '"lora.alpha_over_rank" = { low = 0.5, high = 2.0 }\n[objective]')
    )
    assert '"lora.alpha_over_rank": 2.0: input should be less than or equal to 1' in problem


def test_an_impossible_pair_is_named_with_both_values():
    space = (
        '"schedule.name" = { choices = ["constant", "cosine"] }\n'
        '"schedule.warmup_share" = { low = 0.05, high = 0.1 }\n'
    )
    text = GOOD.replace("[objective]", space + "[objective]")
    assert "warmup_share = 0.05 cannot act with name = 'constant'" in "\n".join(problems_of(text))


def test_a_condition_makes_the_pair_possible():
    space = (
        '"schedule.name" = { choices = ["constant", "cosine"] }\n'
        '"schedule.warmup_share" = { low = 0.05, high = 0.1, when = { "schedule.name" = "cosine" } }\n'
    )
    parsed = study_file.parse(GOOD.replace("[objective]", space + "[objective]"), Path("/data"))
    assert "schedule.warmup_share" in parsed.space.parameters


def test_a_field_that_is_fixed_and_searched_is_refused():
    text = GOOD.replace("[budget]", "[plan.optimiser]\nunet_lr = 1e-4\n[budget]")
    (problem,) = problems_of(text)
    assert problem.startswith("study.toml:8: plan.optimiser.unet_lr: is both fixed here and searched")


def test_a_first_recipe_outside_the_space_is_refused():
    (problem,) = problems_of(GOOD + '[[first]]\n"optimiser.unet_lr" = 0.5\n')
    assert problem.startswith("study.toml:14: first.0:")


def test_a_clip_weight_needs_a_clip():
    (problem,) = problems_of(GOOD + "clip_image = 0.5\n")
    assert "judge.clip names no CLIP" in problem


@pytest.mark.parametrize("text", ["[study", "name = = 1", "\x00"])
def test_text_that_is_no_toml_is_one_sentence(text: str):
    (problem,) = problems_of(text)
    assert "not valid TOML" in problem


def test_a_missing_file_is_a_sentence():
    with pytest.raises(StudyError, match="there is no such study file"):
        study_file.load(Path("/nowhere/study.toml"))


def test_a_study_file_is_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    validate, seen = study_file.StudySpec.model_validate, []

    def counted(table: object) -> study_file.StudySpec:
        seen.append(table)
        return validate(table)

    monkeypatch.setattr(study_file.StudySpec, "model_validate", counted)
    study_file.parse(GOOD, Path("/data"))
    assert len(seen) == 1


def test_space_and_shared_plan_are_made_once() -> None:
    spec = study_file.parse(GOOD, Path("/data"))
    assert spec.space is spec.space
    assert spec.shared_plan is spec.shared_plan
    assert spec.shared_plan.base.path == Path("/data/base")


def test_a_changed_copy_has_a_space_and_a_shared_plan_of_its_own() -> None:
    spec = study_file.parse(GOOD, Path("/data"))
    assert "lora.rank" not in spec.space.parameters and spec.shared_plan.lora.rank == 16
    space = {"lora.rank": {"choices": [4, 8]}}
    copy = spec.model_copy(
        update={
            "search": spec.search.model_copy(update={"space": space}),
            "plan": {**spec.plan, "lora": {"rank": 4}},
        }
    )
    assert list(copy.space.parameters) == ["lora.rank"] and copy.shared_plan.lora.rank == 4
    assert list(spec.space.parameters) == ["optimiser.unet_lr"]


def test_what_a_study_remembers_is_neither_compared_nor_dumped_and_travels() -> None:
    spec, other = (study_file.parse(GOOD, Path("/data")) for _ in range(2))
    assert spec.space and spec.shared_plan
    assert spec == other
    assert spec.model_dump() == other.model_dump()
    assert pickle.loads(pickle.dumps(spec)).space == spec.space


REMEDY = (
    r"write a Windows path between single quotes ('C:\models\x'), "
    "with doubled backslashes or with forward slashes."
)


@pytest.mark.parametrize("path", [r"C:\models\x", r"C:\Users\x", r"D:\x", r"\models\x", "D:\\"])
def test_a_windows_path_between_double_quotes_is_told_with_its_line_and_the_remedy(path: str) -> None:
    (problem,) = problems_of(GOOD.replace('path = "base"', f'path = "{path}"'))
    assert problem.startswith("study.toml:4: this is not valid TOML: ") and problem.endswith(REMEDY)


def test_other_faults_get_no_advice_on_backslashes() -> None:
    (problem,) = problems_of(GOOD.replace("trials = 4", "trials = = 4"))
    assert problem == "study.toml:8: this is not valid TOML: Invalid value (at line 8, column 10)."
    (problem,) = problems_of('a = "C:\\\\x"\n[b\n')
    assert "backslash" not in problem


@pytest.mark.parametrize("place", ["plan.base.path", "plan.data.folder", "storage.checkpoints"])
def test_a_windows_path_whose_backslash_made_a_tab_is_told_at_its_line(place: str) -> None:
    texts = {
        "plan.base.path": GOOD.replace('"base"', r'"C:\temp"'),
        "plan.data.folder": GOOD.replace('"images"', r'"C:\temp"'),
        "storage.checkpoints": GOOD + '[storage]\ncheckpoints = "C:\\temp"\n',
    }
    lines = {"plan.base.path": 4, "plan.data.folder": 6, "storage.checkpoints": 15}
    (problem,) = problems_of(texts[place])
    assert problem.startswith(f"study.toml:{lines[place]}: {place}: 'C:\\temp' is no path: it holds '\\t'; ")
    assert problem.endswith(REMEDY)


@pytest.mark.parametrize("written", [r"'D:\models\x.safetensors'", r'"D:\\models\\x.safetensors"'])
def test_a_place_on_windows_is_kept_as_it_is_written(written: str) -> None:
    parsed = study_file.parse(GOOD.replace('"base"', written), Path("/data"))
    assert parsed.plan["base"]["path"] == r"D:\models\x.safetensors"
    assert str(parsed.shared_plan.base.path) == r"D:\models\x.safetensors"


@pytest.mark.parametrize(
    ("written", "place"),
    [(r"'.\img'", "/data/img"), (r'"sets\\10_cat"', "/data/sets/10_cat"), (r"'\\nas\share'", r"\\nas\share")],
)
def test_folders_may_be_written_as_on_windows(written: str, place: str) -> None:
    more = GOOD.replace('"images"', written) + f"[storage]\ncheckpoints = {written}\n"
    parsed = study_file.parse(more, Path("/data"))
    assert parsed.plan["data"]["folder"] == place
    assert parsed.storage.checkpoints == place


def test_a_relative_path_with_a_backslash_is_no_hub_name() -> None:
    parsed = study_file.parse(GOOD.replace('"base"', r"'models\sd15'"), Path("/data"))
    assert parsed.plan["base"]["path"] == "/data/models/sd15"


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("[search.space]", '[search]\npruner = { name = "forecast" }\n[search.space]'),
        ("[search.space]", '[search]\ncounts = "forecast"\n[search.space]'),
        ("images_per_trial = 100", "images_per_trial = 100\nuntil_gain_below = 0.01"),
    ],
)
def test_forecasts_need_their_library_and_say_so(monkeypatch: pytest.MonkeyPatch, line: str, more: str):
    monkeypatch.setattr("search.pruners.find_spec", lambda name: None)
    (problem,) = problems_of(GOOD.replace(line, more, 1))
    assert "need scikit-learn: pip install scikit-learn" in problem


def test_a_guard_on_the_training_gap_needs_training_images_to_be_judged():
    (problem,) = problems_of(GOOD + "[guards]\ntraining_gap = 0.5\n[judge]\nseen_images = 1\n")
    assert "guards.training_gap needs judge.seen_images of at least 2, but got 1" in problem


def test_earlier_studies_are_all_none_or_folders_relative_to_the_study_file():
    text = GOOD.replace("[search.space]", '[search]\nlearn_from = ["../cats"]\n[search.space]')
    assert study_file.parse(text, Path("/data/dogs")).search.learn_from == ("/data/cats",)
    every = study_file.parse(text.replace('["../cats"]', '"all"'), Path("/data"))
    assert every.search.learn_from == "all"
    assert "learn_from" in problems_of(text.replace('["../cats"]', '"some"'))[0]
