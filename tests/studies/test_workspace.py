from pathlib import Path

import pytest

from studies.errors import StudyError
from studies.workspace import Workspace, copy_whole, write_json


def test_every_name_lies_below_the_root(tmp_path: Path):
    workspace = Workspace(tmp_path)
    for path in (workspace.lora(3, 2), workspace.state(3), workspace.best, workspace.renders(0, 1)):
        assert path.is_relative_to(tmp_path)
    assert workspace.relative(workspace.lora(3, 2)) == "trials/0003/trial-0003-000002.safetensors"


def test_a_workspace_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="the workspace cannot be made"):
        Workspace(tmp_path / "file" / "below").prepare()


def test_files_appear_whole(tmp_path: Path):
    write_json(tmp_path / "a.json", {"key": "ü"})
    copy_whole(tmp_path / "a.json", tmp_path / "deep" / "b.json")
    assert (tmp_path / "deep" / "b.json").read_text() == '{\n  "key": "ü"\n}\n'
    assert not list(tmp_path.rglob(".*"))
