"""What the doctor says of machines, against machines made up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studies.commands import doctor
from studies.commands.doctor import GIB, Check


def torch_with(
    total: float = 0.0, free: float = 0.0, capability: tuple[int, int] = (8, 6), build: str | None = "12.8"
) -> Any:
    """A torch that sees one GPU of so many GiB, or none."""
    return SimpleNamespace(
        __version__="2.13.0",
        version=SimpleNamespace(cuda=build),
        backends=SimpleNamespace(cuda=SimpleNamespace(flash_sdp_enabled=lambda: True)),
        cuda=SimpleNamespace(
            is_available=lambda: total > 0,
            device_count=lambda: 1,
            get_device_properties=lambda number: SimpleNamespace(name="RTX 4090"),
            mem_get_info=lambda number: (free * GIB, total * GIB),
            get_device_capability=lambda: capability,
            is_bf16_supported=lambda including_emulation: capability >= (8, 0),
        ),
    )


def states(found: list[Check]) -> dict[str, str]:
    return {check.topic: check.state for check in found}


def test_a_good_gpu_is_ok_with_its_memory_formats_and_attention() -> None:
    found = list(doctor.device(torch_with(24, 23), True))
    assert states(found) == {"GPU 0": "ok", "precision": "ok", "attention": "ok"}
    assert found[0].said == "RTX 4090, 24.0 GiB (23.0 GiB free), CUDA 12.8"
    assert "flash" in found[2].said


def test_an_old_gpu_has_no_bf16_and_no_flash() -> None:
    found = list(doctor.device(torch_with(8, 8, (7, 5)), True))
    assert found[1].state == "note" and "fp16" in found[1].remedy
    assert "flash" not in found[2].said


def test_small_and_busy_gpus_are_noted() -> None:
    assert "gradient_checkpointing" in next(doctor.device(torch_with(4, 4), True)).remedy
    assert "nvidia-smi" in next(doctor.device(torch_with(24, 2), True)).remedy


def test_a_gpu_that_torch_cannot_see_is_a_problem_and_none_is_a_note() -> None:
    blind = next(doctor.device(torch_with(build=None), True))
    assert blind.state == "problem" and "for CPUs only" in blind.said and "pytorch.org" in blind.remedy
    assert next(doctor.device(torch_with(), False)).state == "note"


@pytest.mark.parametrize(
    ("found", "state"), [((3, 10, 9), "problem"), ((3, 11, 0), "ok"), ((3, 13, 1), "ok")]
)
def test_python_must_be_new_enough(found: tuple[int, ...], state: str) -> None:
    assert doctor.python(found).state == state


def test_missing_libraries_are_named_with_the_command_that_mends_it() -> None:
    found = list(doctor.libraries(lambda name: None if name == "peft" else "1.0"))
    assert found[0].state == "problem" and found[0].remedy == "pip install peft"


def test_torchvision_is_in_the_way_of_a_cpu_torch_only() -> None:
    def of(name: str) -> str | None:
        return "0.25" if name == "torchvision" else None

    assert next(doctor.forbidden(of, True)).state == "problem"
    assert next(doctor.forbidden(of, False)).state == "ok"
    assert next(doctor.forbidden(lambda name: None, True)).state == "ok"


def test_optional_libraries_are_noted_and_one_driver_of_postgres_is_enough() -> None:
    found = states(list(doctor.optional(lambda name: "2.9" if name == "psycopg2-binary" else None)))
    assert found.pop("psycopg") == "ok"
    assert set(found.values()) == {"note"}
    assert set(found) == {"xformers", "flash-attn", "bitsandbytes", "tensorboard", "ray", "grpcio"}


def test_another_owner_of_our_package_names_is_a_problem() -> None:
    found = list(doctor.own_names({"trainer": ["lorasearch", "coqui-tts-trainer"], "search": ["lorasearch"]}))
    assert [check.state for check in found] == ["problem"] and "coqui-tts-trainer" in found[0].said


@pytest.mark.parametrize(("free", "state"), [(1, "problem"), (10, "note"), (100, "ok")])
def test_free_disk_is_judged(free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free * GIB))
    disk, workspace = doctor.disk(tmp_path / "not" / "yet")
    assert (disk.state, workspace.state) == (state, "ok")
    assert not (tmp_path / "not").exists()


def test_a_folder_that_cannot_be_written_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert list(doctor.disk(tmp_path))[1].state == "problem"


def test_threads_that_outnumber_cores_or_sleep_are_noted() -> None:
    def of(used: int, **environment: str) -> str:
        return next(doctor.threads(used, 4, environment)).state

    assert [of(4), of(1), of(8), of(4, OMP_WAIT_POLICY="passive")] == ["ok", "ok", "note", "note"]


def test_a_database_is_reached_or_told_without_its_password(tmp_path: Path) -> None:
    assert doctor.database(f"sqlite:///{tmp_path / 'new.sqlite3'}").state == "ok"
    assert not list(tmp_path.iterdir()), "nothing is made"
    found = doctor.database("postgresql://me:secret@127.0.0.1:1/studies")
    assert found.state == "problem" and "secret" not in found.said and "***" in found.said
    assert doctor.database("no url at all").state == "problem"
