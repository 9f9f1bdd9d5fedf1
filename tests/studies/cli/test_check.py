"""What ``lorasearch check`` says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.studies.cli.conftest import Run

STUDY = """
[study]
name = "checked"
[plan.base]
path = "{assets}/micro-sd"
[plan.data]
folder = "{folder}"
resolution = 64
{more}
[budget]
trials = 2
images_per_trial = 100
[search.space]
"optimiser.unet_lr" = {{ low = 1e-4, high = 1e-2, log = true }}
[split]
validation = 0.2
test = 0.2
folds = 3
[objective]
validation = 1.0
"""


@pytest.fixture
def study(few_folder: Path, assets: Path, tmp_path: Path) -> Path:
    shutil.copytree(few_folder, tmp_path / "set")
    return write(tmp_path, assets)


def write(root: Path, assets: Path, more: str = "", folder: str = "set") -> Path:
    path = root / "study.toml"
    path.write_text(STUDY.format(assets=assets, folder=folder, more=more))
    return path


def test_a_sound_study_passes_and_nothing_is_written(study: Path, run: Run) -> None:
    before = sorted(study.parent.rglob("*"))
    code, out, err = run("check", study, "--trigger", "the")
    assert (code, err) == (0, "")
    assert "checked: 9 images, of which 5 train, 2 validate and 2 test." in out
    assert "Training sizes: 64 x 64." in out
    assert "'the' stands in" in out
    assert sorted(study.parent.rglob("*")) == before


def test_notes_are_no_errors(study: Path, run: Run) -> None:
    next((study.parent / "set" / "1_fluent").glob("*.txt")).unlink()
    code, out, _ = run("check", study)
    assert code == 0
    assert "note: " in out and "1 of 9 images have no caption file" in out


def test_problems_of_base_and_data_are_told_together_with_exit_code_two(
    study: Path, assets: Path, run: Run
) -> None:
    next((study.parent / "set" / "1_fluent").glob("*.png")).write_bytes(b"no picture")
    write(study.parent, assets, "reg_folder = 'nowhere'\nfolders = ['gone']")
    study.write_text(study.read_text().replace("resolution = 64", "resolution = 65"))
    code, out, err = run("check", study)
    assert (code, out) == (2, "")
    for words in (
        "data.resolution must be a multiple",
        "cannot be read",
        "nowhere: there is no",
        "gone: there",
    ):
        assert words in err
    assert str(study.parent / "nowhere") in err


def test_a_fold_that_there_is_not_is_told(study: Path, assets: Path, run: Run) -> None:
    write(study.parent, assets, "fold = 2")
    code, out, _ = run("check", study)
    assert code == 0
    assert "of which 4 train, 3 validate and 2 test" in out or "of which 5 train, 2 validate" in out
    write(study.parent, assets, "fold = 3")
    code, _, err = run("check", study)
    assert code == 2
    assert "data.fold must be less than the number of folds (3), but got 3." in err


def test_a_fold_cannot_be_searched(study: Path, run: Run) -> None:
    text = study.read_text().replace("[search.space]", '[search.space]\n"data.fold" = { choices = [0, 1] }')
    study.write_text(text)
    code, _, err = run("check", study)
    assert code == 2
    assert "can't be searched" in err


def test_a_caption_that_is_cut_is_told_once(study: Path, run: Run) -> None:
    caption = next((study.parent / "set" / "1_fluent").glob("*.txt"))
    caption.write_text("cat, " * 60)
    code, out, _ = run("check", study)
    assert code == 0
    assert out.count("what exceeds it is cut off") == 1
    assert f"note: {caption.stem}.png: this caption has 120 tokens" in out
    assert "set data.max_token_length = 150." in out


def test_json_tells_every_finding(study: Path, run: Run) -> None:
    bare = sorted((study.parent / "set" / "1_fluent").glob("*.txt"))[0]
    bare.unlink()
    code, out, err = run("check", study, "--json")
    found = json.loads(out)
    assert (code, err, found["ready"], found["trigger"]) == (0, "", True, "fluentflat")
    assert found["images"]["train"] == 5 and found["images"]["counts"] == {"uncaptioned": 1, "no trigger": 1}
    assert {one["file"] for one in found["images"]["findings"]} == {str(bare.with_suffix(".png"))}
    assert any("no 'fluentflat' in the caption" in note for note in found["notes"])


def test_broken_images_are_on_the_sheet_and_in_the_json(study: Path, run: Run, tmp_path: Path) -> None:
    broken = sorted((study.parent / "set" / "1_fluent").glob("*.png"))[0]
    broken.write_bytes(b"no picture")
    sheet = tmp_path / "problems.png"
    code, out, err = run("check", study, "--sheet", sheet, "--json")
    found = json.loads(out)
    assert (code, found["ready"]) == (2, False)
    assert [one["kind"] for one in found["images"]["findings"]] == ["broken"]
    assert str(broken) in found["problems"][0]
    assert sheet.exists() and str(sheet) in err


def test_no_sheet_is_written_where_there_is_no_problem(study: Path, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("check", study, "--sheet", tmp_path / "problems.png")
    assert code == 0 and "is not written" in out
    assert not (tmp_path / "problems.png").exists()


def test_a_study_file_at_fault_is_json_too(study: Path, run: Run) -> None:
    study.write_text("[study")
    code, out, _ = run("check", study, "--json")
    found = json.loads(out)
    assert code == 2 and found["images"]["findings"] == []
    assert "not valid TOML" in found["problems"][0]
