"""The short form of ``benchmarks/chaos.py``: five kills at random moments."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks import chaos


def test_five_kills_lose_nothing_break_nothing_and_change_nothing(small_study, tmp_path: Path) -> None:
    study_file = small_study(trials=3)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert chaos.run(study_file, undisturbed).wait() == 0
    toll = chaos.disturbed(study_file, killed, 5, 12.0, random.Random(3))
    assert toll == chaos.Toll(toll.kills, lost=0, corrupt=0)
    assert toll.kills > 0
    found = chaos.compared(undisturbed, killed)
    assert found.same
    assert found.within
    assert found.moved is not None
    assert found.moved < 0.1
    assert chaos.worst_apart(killed, 1) < chaos.TOLERANCE


def test_a_torn_file_is_found(tmp_path: Path) -> None:
    for name, data in (
        ("a.safetensors", b"\x08\0\0\0\0\0\0\0{}"),
        ("b.json", b'{"a":'),
        ("c.png", b"\x89PNG"),
    ):
        (tmp_path / name).write_bytes(data)
    (tmp_path / ".d.json.part").write_bytes(b"{")
    assert {path.name for path in chaos.broken(tmp_path)} == {"a.safetensors", "b.json", "c.png"}
