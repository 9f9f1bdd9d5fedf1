"""The file that is handed over says when it was trained; the checkpoint that it comes from does not."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from search.trial import TrialRecord
from studies.selection import best_file
from tests.studies.invented import invent
from trainer.lora_files import file

STARTED, ENDED = datetime(2026, 11, 30, 10, 15, 0, 250000), datetime(2026, 11, 30, 11, 0, 7, 999999)


def record(started: datetime | None, ended: datetime | None) -> TrialRecord:
    return TrialRecord(number=0, state="finished", values={}, cards=[], started=started, ended=ended)


def checkpoint(folder: Path) -> Path:
    """A file long enough for the part that the short hash covers."""
    path = folder / "trial.safetensors"
    weights = {"x.lora_up.weight": torch.rand(600, 1024, generator=torch.Generator().manual_seed(0))}
    file.write(path, weights, {"ss_epoch": "2", "modelspec.title": "x"}, "no")
    return path


def test_times_are_those_of_the_trial_in_sd_scripts_words(tmp_path: Path) -> None:
    source, target = checkpoint(tmp_path), tmp_path / "best.safetensors"
    best_file.write(source, target, record(STARTED, ENDED))
    facts = file.read_metadata(target)
    assert facts["modelspec.date"] == "2026-11-30T11:00:07"
    assert float(facts["ss_training_started_at"]) == STARTED.timestamp()
    assert float(facts["ss_training_finished_at"]) == ENDED.timestamp()
    before = file.read_metadata(source)
    assert {key: facts[key] for key in before if not key.startswith("sshs_")} == {
        key: value for key, value in before.items() if not key.startswith("sshs_")
    }
    assert not [key for key in before if "date" in key or "training_" in key]


def test_weights_stay_and_the_hashes_are_those_of_the_new_file(tmp_path: Path) -> None:
    source, target = checkpoint(tmp_path), tmp_path / "best.safetensors"
    best_file.write(source, target, record(STARTED, ENDED))
    old, new = load_file(source), load_file(target)
    assert all(old[key].equal(new[key]) for key in old)
    facts, before = file.read_metadata(target), file.read_metadata(source)
    assert facts["sshs_model_hash"] == before["sshs_model_hash"]
    bare = save(new, {key: text for key, text in facts.items() if key.startswith("ss_")})
    assert facts["sshs_legacy_hash"] == hashlib.sha256(bare[0x100000:0x110000]).hexdigest()[:8]
    assert facts["sshs_legacy_hash"] != before["sshs_legacy_hash"]


def test_the_same_trial_gives_the_same_bytes_and_one_without_times_the_checkpoints(tmp_path: Path) -> None:
    source, paths = checkpoint(tmp_path), [tmp_path / name for name in ("a", "b", "c")]
    for path in paths[:2]:
        best_file.write(source, path, record(STARTED, ENDED))
    best_file.write(source, paths[2], record(None, None))
    assert paths[0].read_bytes() == paths[1].read_bytes() != source.read_bytes()
    assert paths[2].read_bytes() == source.read_bytes()


def test_a_studys_best_file_says_when_its_trial_ended(tmp_path: Path) -> None:
    found = invent(tmp_path, clip=False)
    trial = found.study.memory.records()[found.selection.winner.trial]
    assert trial.ended is not None
    facts = file.read_metadata(found.workspace.best)
    assert facts["modelspec.date"] == trial.ended.replace(microsecond=0).isoformat()
