"""Names that become files."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.errors import StudyError
from studies.spec.paths import (
    LONGEST,
    file_problem,
    is_hub_name,
    path_problem,
    reserved,
    study_name,
    written_problem,
)
from studies.spec.sections import StudySection
from studies.workspace import Workspace, default_root

BAD = [
    "",
    " ",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "-rf",
    ".hidden",
    "x.",
    "x ",
    "nul",
    "COM1.txt",
    "a\0b",
    "a\nb",
]
BAD += ["a:b", "a|b", "\u202egnp.exe", "a" * (LONGEST + 1), "ä" * LONGEST, "\udcff"]


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_names_that_leave_their_folder_or_confuse_are_refused(name: str) -> None:
    assert file_problem(name)


@pytest.mark.parametrize(
    "name", ["my character", "角色_v2", "a.b-c", "null", "comet", "x" * LONGEST, "(draft) 3+1"]
)
def test_names_of_any_script_are_taken(name: str) -> None:
    assert file_problem(name) is None
    assert (Path("/out") / name).resolve().parent == Path("/out")


@pytest.mark.parametrize("name", [*BAD, "x" * 65])
def test_no_study_name_leaves_the_workspaces(name: str) -> None:
    with pytest.raises(ValueError):
        StudySection(name=name)


@pytest.mark.parametrize("name", ["a", "A1._-x", "9", "x" * 64, "null"])
def test_every_allowed_study_name_is_a_folder_below_workspaces(name: str) -> None:
    root = default_root(StudySection(name=name).name)
    assert root.resolve().parent == Path("workspaces").resolve()
    assert not reserved(name)


@pytest.mark.parametrize("number", [0, 7, 10**9])
def test_trials_files_lie_below_the_workspace(number: int, tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    files = [place.state(number), place.lora(number, 3), place.renders(number, 3), place.sheet(number)]
    assert all(file.resolve().is_relative_to(tmp_path.resolve()) for file in files)


def test_a_problem_ends_like_a_sentence() -> None:
    assert StudyError(["it is broken", "why?", "see `x`"]).problems == ["it is broken.", "why?", "see `x`"]


@pytest.mark.parametrize(
    ("name", "plain"), [("my study", "my-study"), ("秋叶", "imported"), ("../x", "x"), ("a" * 99, "a" * 64)]
)
def test_any_name_becomes_a_study_name(name: str, plain: str) -> None:
    assert study_name(name) == plain


@pytest.mark.parametrize("text", ["C:\temp", "D:\new", "a\x7fb", "C:\\a\bb"])
def test_what_a_backslash_has_made_of_a_path_is_told_with_the_remedy(text: str) -> None:
    told = written_problem(text)
    assert told is not None
    assert all(
        part in told for part in ("it holds '\\", "single quotes", "doubled backslashes", "forward slashes")
    )
    assert path_problem(text) is None


@pytest.mark.parametrize("text", [r"C:\temp", r"\\nas\share", r".\img", "/a b/ü", "~/x"])
def test_paths_of_any_system_are_taken(text: str) -> None:
    assert written_problem(text) is None


@pytest.mark.parametrize("text", ["a\0b", "x" * 256])
def test_what_is_no_path_anywhere_is_no_path_in_a_file(text: str) -> None:
    assert written_problem(text) == path_problem(text) is not None


def test_hub_names_are_no_paths_of_windows() -> None:
    assert is_hub_name("org/model")
    for text in (r"org\model", "./model", r"C:\model", "C:/model", "../model", "org/model.safetensors"):
        assert not is_hub_name(text)
