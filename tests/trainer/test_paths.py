"""Paths of Windows, read on this system; what they mean is compared with ``PureWindowsPath``."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

import pytest

from trainer.paths import absolute, elsewhere, native

pytestmark = pytest.mark.skipif(os.sep != "/", reason="on Windows these are paths like any other")

PLACES = [
    r"C:\data\10_cat",
    "D:/models/x.safetensors",
    r"\\nas\share\10_cat",
    r"\models\x",
    "c:\\",
    r"C:\mixed/slashes",
]
RELATIVE = [
    r".\img",
    r"sets\10_cat",
    r"..\up\10_cat",
    "plain",
    "with/slash",
    r"mixed/and\back",
    r"a b\c d",
    r"img\10_cat\\",
]
OURS = ["/data/10_cat", "//two/slashes", r"/data/odd\name", "~/models", "C:relative", "org/model", ""]


@pytest.mark.parametrize("text", PLACES)
def test_a_place_on_windows_stays_as_it_is_written(text: str, tmp_path: Path) -> None:
    assert elsewhere(text)
    assert native(text) == text
    assert str(absolute(text, tmp_path)) == str(Path(text))
    assert PureWindowsPath(text).root


@pytest.mark.parametrize("text", RELATIVE)
def test_a_relative_path_of_windows_leads_where_it_leads_there(text: str, tmp_path: Path) -> None:
    assert not elsewhere(text)
    assert PureWindowsPath(native(text)) == PureWindowsPath(text)
    assert Path(native(text)).parts == PureWindowsPath(text).parts
    folder = tmp_path.joinpath("sets", "of", "mine")
    folder.mkdir(parents=True)
    assert absolute(text, folder) == folder.joinpath(*PureWindowsPath(text).parts).resolve()
    assert absolute(text, folder).name == PureWindowsPath(text).name


@pytest.mark.parametrize("text", OURS)
def test_paths_of_this_system_are_what_they_were(text: str, tmp_path: Path) -> None:
    assert not elsewhere(text)
    assert native(text) == text
    assert absolute(text, tmp_path) == (tmp_path / Path(text).expanduser()).resolve()


def test_home_and_links_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert absolute(r"~\link\x", Path("/elsewhere")) == tmp_path / "real" / "x"


@pytest.mark.parametrize("name", [r"odd\name", r"C:\odd", r"\odd"])
def test_a_name_with_a_backslash_that_is_there_is_taken(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    assert absolute(name, tmp_path) == tmp_path / name
