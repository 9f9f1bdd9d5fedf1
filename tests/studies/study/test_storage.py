from __future__ import annotations

from pathlib import Path

import pytest

from studies.errors import StudyError
from studies.spec.study_file import parse
from studies.study import storage
from studies.workspace import Workspace, write_json

STUDY = """\
[study]
name = "x"
[plan.base]
path = "base"
[plan.data]
folder = "images"
[budget]
trials = 1
images_per_trial = 32
[search.space]
"optimiser.unet_lr" = { low = 1e-4, high = 3e-2, log = true }
[objective]
validation = 1
[storage]
"""


@pytest.mark.parametrize(
    "url", ["", "postgresql://me@host/db", "postgresql+psycopg://host/db", "grpc://host:13000", "env:MY_URL"]
)
def test_a_storage_without_a_secret_may_stand_in_a_study_file(url: str, tmp_path: Path) -> None:
    assert parse(f'{STUDY}url = "{url}"', tmp_path).storage.url == url


@pytest.mark.parametrize(
    "url", ["postgresql://me:s3cret@host/db", "postgresql://host/db?user=me&password=s3cret"]
)
def test_a_password_in_a_study_file_is_refused_and_not_shown(url: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        parse(f'{STUDY}url = "{url}"', tmp_path)
    assert "s3cret" not in str(caught.value)
    assert 'write "env:LORASEARCH_STORAGE"' in str(caught.value)
    with pytest.raises(StudyError, match="--storage holds a password"):
        storage.chosen(Workspace(tmp_path), url, "")


def test_a_password_in_the_address_of_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"storage\.checkpoints: holds a password") as caught:
        parse(f'{STUDY}checkpoints = "ftp://me:s3cret@host/x"', tmp_path)
    assert "s3cret" not in str(caught.value)


def test_other_databases_are_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match="must be postgresql://USER@HOST/NAME, grpc://HOST:PORT, or env:NAME"
    ):
        parse(f'{STUDY}url = "sqlite:///x.db"', tmp_path)


def test_relative_checkpoints_start_at_the_study_file(tmp_path: Path) -> None:
    assert parse(f'{STUDY}checkpoints = "depot"', tmp_path).storage.checkpoints == str(tmp_path / "depot")
    assert parse(f'{STUDY}checkpoints = "s3://a/b"', tmp_path).storage.checkpoints == "s3://a/b"


def test_the_environment_holds_what_the_file_only_names(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    secret = "postgresql://me:s3cret@host/db"
    assert storage.connected(workspace, "env:MY_URL", {"MY_URL": secret}) == secret
    with pytest.raises(StudyError, match="environment variable MY_URL, which is not set"):
        storage.connected(workspace, "env:MY_URL", {})
    with pytest.raises(StudyError, match="holds no storage URL") as caught:
        storage.connected(workspace, "env:MY_URL", {"MY_URL": "mysql://me:s3cret@host/db"})
    assert "s3cret" not in str(caught.value)


def test_the_workspace_remembers_its_storage_and_keeps_to_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert storage.chosen(workspace, None, "") == ""
    assert storage.url_of(workspace) == workspace.storage_url
    write_json(workspace.source, {"study_file": "x", "storage": "grpc://host:1"})
    assert storage.chosen(workspace, None, "") == "grpc://host:1"
    assert storage.url_of(workspace) == "grpc://host:1"
    assert storage.chosen(workspace, "postgresql://me@host/db", "") == "postgresql://me@host/db"
    write_json(workspace.source, {"study_file": "x"})
    with pytest.raises(StudyError, match=r"is kept in SQLite, not in grpc://host:1"):
        storage.chosen(workspace, "grpc://host:1", "")
