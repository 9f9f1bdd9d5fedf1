"""A password in the storage's address stands in nothing that is written or printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from search.storage import StorageError, reach, redacted
from studies.commands import dashboard
from studies.report import study_page
from studies.workspace import Workspace
from tests.studies.cli.conftest import run as run
from tests.studies.invented import invent

SECRET = "hunter2"
ADDRESSES = [
    "postgresql://me:hunter2@127.0.0.1:1/db",
    "postgresql+psycopg://me:hunter2@127.0.0.1:1/db",
    "postgresql://me:p@hunter2:x/y@127.0.0.1:1/db",
    "postgresql://127.0.0.1:1/db?user=me&password=hunter2",
    "postgresql://me:hunter2@[::1]:1/db",
    "postgresql://:hunter2@127.0.0.1:1/db",
    "mysql://me:hunter2@127.0.0.1:1/db",
    "nosuchdb://me:hunter2@127.0.0.1/db",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_it(address: str) -> None:
    assert SECRET not in redacted(address)
    with pytest.raises(StorageError) as raised:
        reach(address)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("address", ADDRESSES[:3])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_doctor_names_the_database_without_it(address: str, form: tuple[str, ...], run: Any) -> None:
    code, out, err = run("doctor", "--storage", address, *form)
    assert code == 1
    assert "127.0.0.1" in out
    assert SECRET not in out + err


def test_nothing_that_a_study_leaves_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    """SQLite takes parameters that it does not know, so that a study can be run on an address with a password."""

    def address(self: Workspace) -> str:
        return f"sqlite:///file:{self.root}/study.sqlite3?uri=true&password={SECRET}"

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file:").symlink_to("/")
    monkeypatch.setattr(Workspace, "storage_url", property(address))
    found = invent(tmp_path / "study", trials=3, rich=True)
    dashboard.annotate(found.study, found.selection)
    study_page.write(found.study, found.selection)
    root = found.workspace.root
    commands: list[list[object]] = [
        ["status", root], ["status", root, "--json"], ["select", root], ["select", root, "--json"], ["report", root],
        ["compare", root, root], ["compare", root, root, "--json"], ["export", root, tmp_path / "out"],
    ]  # fmt: skip
    printed = "".join("".join(map(str, run(*words))) for words in commands)
    (root / "study.sqlite3").write_bytes(b"no database at all, but long enough to be read as one" * 40)
    code, out, err = run("status", root)
    assert code == 2 and "***" in err
    assert SECRET not in printed + out + err
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 20
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    assert not [path for path in tmp_path.rglob("*") if SECRET in os.fspath(path)]
