"""Commands that cannot be carried out."""

from __future__ import annotations

import socket

from tests.bad_input.scene import Bad, Scene, Words
from tests.studies.conftest import ASSETS

_ELSEWHERE = ["--no-browser", "--host", "203.0.113.7"]
_TAKEN = socket.socket()


def _bad(name: str, words: Words, *says: str) -> Bad:
    return Bad(name, lambda scene: words, says)


def _on_finished(name: str, before: Words, after: Words, *says: str) -> Bad:
    return Bad(name, lambda scene: [*before, scene.workspace(), *after], says)


def _workspace_file(scene: Scene) -> Words:
    return ["run", scene.root / "small.toml", "--workspace", scene.write("taken", "x")]


def _workspace_below_file(scene: Scene) -> Words:
    return ["run", scene.root / "small.toml", "--workspace", scene.write("taken", "x") / "below"]


def _workspace_read_only(scene: Scene) -> Words:
    return ["run", scene.root / "small.toml", "--workspace", "/proc/lorasearch"]


def _no_workspace(scene: Scene) -> Words:
    return ["report", scene.images]


def _port(scene: Scene) -> Words:
    if _TAKEN.getsockname()[1] == 0:
        _TAKEN.bind(("127.0.0.1", 0))
        _TAKEN.listen()
    return ["dashboard", scene.workspace(), "--no-browser", "--port", _TAKEN.getsockname()[1]]


def _into_file(scene: Scene) -> Words:
    return ["export", scene.workspace(), scene.write("file.txt", "mine")]


def _over_file(scene: Scene) -> Words:
    return ["export", scene.workspace(), scene.write("mine.safetensors", "mine")]


def _recipe_into_file(scene: Scene) -> Words:
    return ["export", scene.workspace(), scene.write("file.txt", "mine"), "--sd-scripts"]


def _broken_verdict(scene: Scene) -> Words:
    found = scene.workspace()
    (found / "selection.json").write_text("{")
    return ["select", found]


def _no_database(scene: Scene) -> Words:
    found = scene.workspace()
    for file in found.glob("study.sqlite3*"):
        file.unlink()
    (found / "study.sqlite3").write_text("this is no database")
    return ["status", found]


def _check_sheet(scene: Scene) -> Words:
    scene.picture.write_bytes(b"broken")
    return ["check", scene.root / "small.toml", "--sheet", scene.write("taken", "x") / "sheet.png"]


def _setting(scene: Scene) -> Words:
    return ["train", scene.root / "small.toml", "--out", scene.root / "out", "--set", "optimiser.lr=1"]


def _training_into_file(scene: Scene) -> Words:
    return ["train", scene.root / "small.toml", "--out", scene.write("taken", "x")]


BAD = [
    _bad("an unknown command", ["serach"], "serach", "Choose among"),
    _bad("an unknown option", ["run", "x.toml", "--worksapce", "y"], "--worksapce", "--workspace"),
    _bad("a missing argument", ["run"], "STUDY_FILE"),
    _bad("a port out of range", ["dashboard", "x", "--port", "70000"], "--port", "70000", "65535"),
    Bad("a port that is taken", _port, ("Port", "cannot be used", "choose another")),
    _on_finished(
        "an address of another machine",
        ["dashboard"],
        ["--no-browser", "--host", "203.0.113.7"],
        "--host",
        "203.0.113.7",
    ),
    Bad("a workspace that is a file", _workspace_file, ("taken", "workspace", "cannot be made")),
    Bad("a workspace below a file", _workspace_below_file, ("taken/below", "workspace", "cannot be made")),
    Bad("a workspace that cannot be written", _workspace_read_only, ("/proc/lorasearch", "cannot be made")),
    Bad("a report of no workspace", _no_workspace, ("2_fluent", "there is no study here", "lorasearch run")),
    Bad("a broken verdict", _broken_verdict, ("selection.json", "cannot be read")),
    Bad("a database that is none", _no_database, ("study.sqlite3", "not a database")),
    _on_finished(
        "weights that are no numbers",
        ["select"],
        ["--weights", "validation=much"],
        "--weights",
        "'validation=much'",
    ),
    _on_finished(
        "weights of an unknown metric",
        ["select"],
        ["--weights", "beauty=1"],
        "--weights",
        "beauty",
        "validation",
    ),
    _on_finished(
        "an infinite weight", ["select"], ["--weights", "validation=inf"], "--weights", "validation"
    ),
    Bad("an export into a text file", _into_file, ("file.txt", "this is a file", "give a folder")),
    Bad("an export over another file", _over_file, ("mine.safetensors", "another file is there", "--force")),
    Bad("a recipe into a text file", _recipe_into_file, ("file.txt", "this is a file", "give a folder")),
    _on_finished("an export that climbs", ["export"], [".", "--name", "../x"], "--name", "'../x'"),
    _on_finished(
        "an export to its own parent",
        ["export"],
        ["out", "--name", "..", "--format", "peft"],
        "--name",
        "'..'",
    ),
    _on_finished("an export named like an option", ["export"], ["out", "--name=-rf"], "--name", "'-rf'"),
    _on_finished(
        "an export of an unknown format",
        ["export"],
        ["out", "--format", "onnx"],
        "--format",
        "'onnx'",
        "kohya",
    ),
    Bad("a sheet that cannot be written", _check_sheet, ("sheet.png", "cannot be written")),
    Bad("a setting of no field", _setting, ("--set optimiser.lr=1", "no field 'optimiser.lr'")),
    Bad("a training into a file", _training_into_file, ("taken", "this is a file", "--out wants a folder")),
    _bad("captions for no folder", ["caption", "nowhere"], "nowhere", "no such image folder"),
    _bad("a first study of no folder", ["init", "nowhere", "--base", ASSETS / "micro-sd"], "nowhere"),
    _bad("a status of nothing", ["status", "nowhere"], "nowhere", "there is no study here", "lorasearch run"),
    _bad("a workspace with an endless name", ["status", "a" * 300], "File name too long"),
]
