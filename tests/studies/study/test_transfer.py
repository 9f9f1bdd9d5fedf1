from __future__ import annotations

from pathlib import Path

import pytest

from studies.errors import StudyError
from studies.study.transfer import Transfer, transfer
from studies.workspace import Workspace


def two(tmp_path: Path) -> tuple[Workspace, Transfer, Workspace, Transfer]:
    here, there = Workspace(tmp_path / "here"), Workspace(tmp_path / "there")
    url = f"file://{tmp_path}/transfer"
    return here, Transfer(url, "study", here), there, Transfer(url, "study", there)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_what_one_workspace_sends_another_brings(tmp_path: Path) -> None:
    here, sender, there, receiver = two(tmp_path)
    write(here.lora(3, 1), b"lora")
    write(here.state(3), b"state")
    write(here.trial(3) / ".half.part", b"half")
    sender.push(here.trial(3))
    receiver.fetch(there.trial(3))
    assert there.lora(3, 1).read_bytes() == b"lora"
    assert there.state(3).read_bytes() == b"state"
    assert sorted(path.name for path in there.trial(3).iterdir()) == sorted(
        [there.lora(3, 1).name, there.state(3).name]
    )
    stored = [path for path in (tmp_path / "transfer").rglob("*") if path.is_file()]
    assert len(stored) == 2


def test_only_what_changed_is_sent_again(tmp_path: Path) -> None:
    here, sender, there, receiver = two(tmp_path)
    write(here.state(0), b"epoch 1")
    sender.push(here.trial(0))
    receiver.fetch(there.trial(0))
    write(there.state(0), b"epoch two")
    receiver.push(there.trial(0))
    sender.push(here.trial(0))  # has nothing newer: may not send its old state over the new one
    sender.fetch(here.trial(0))
    assert here.state(0).read_bytes() == b"epoch two"


def test_names_are_chosen_by_pattern_and_missing_ones_are_no_error(tmp_path: Path) -> None:
    here, sender, there, receiver = two(tmp_path)
    for epoch in (1, 2):
        write(here.lora(0, epoch), b"lora")
    sender.push(here.trial(0))
    receiver.fetch(there.trial(0), "*-000002.safetensors")
    receiver.fetch(there.trial(7))
    assert [path.name for path in there.trial(0).iterdir()] == [there.lora(0, 2).name]


def test_states_of_ended_trials_are_removed(tmp_path: Path) -> None:
    here, sender, there, receiver = two(tmp_path)
    write(here.state(0), b"state")
    write(here.lora(0, 1), b"lora")
    sender.push(here.trial(0))
    sender.discard(here.trial(0), "state*.safetensors")
    receiver.fetch(there.trial(0))
    assert [path.name for path in there.trial(0).iterdir()] == [there.lora(0, 1).name]


def test_no_such_kind_of_url_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"storage\.checkpoints = 'nosuch://x' cannot be used"):
        Transfer("nosuch://x", "study", Workspace(tmp_path))
    assert transfer(None, "study", Workspace(tmp_path)) is None


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    here = Workspace(tmp_path / "here")
    write(here.lora(0, 1), b"lora")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StudyError, match=r"storage\.checkpoints = .* cannot be used"):
        Transfer(str(tmp_path / "file"), "study", here).push(here.trial(0))
