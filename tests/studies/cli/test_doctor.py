"""``lorasearch doctor``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies.commands.doctor import Check
from tests.studies.cli.conftest import Run


def test_this_machine_is_looked_at(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "doctor", "--workspace", tmp_path, "--storage", f"sqlite:///{tmp_path / 'x.sqlite3'}", "--json"
    )
    found = json.loads(out)
    topics = {check["topic"] for check in found["checks"]}
    assert {
        "Python",
        "libraries",
        "precision",
        "attention",
        "threads",
        "conflicts",
        "disk",
        "workspace",
    } <= topics
    assert {
        "xformers",
        "flash-attn",
        "bitsandbytes",
        "tensorboard",
        "psycopg",
        "ray",
        "grpcio",
        "storage",
    } <= topics
    assert (code == 0) == found["healthy"]


def test_problems_end_with_code_one_and_show_their_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [Check("disk", "problem", "no room", "make room"), Check("GPU", "ok", "one")]
    monkeypatch.setattr("studies.commands.doctor.checks", lambda workspace, storage: iter(lines))
    code, out, _ = run("doctor")
    assert code == 1
    assert "problem  disk          no room" in out and "make room" in out
    assert out.endswith("1 problem, 0 notes.\n")
