"""What ``lorasearch doctor`` looks at: the machine, the libraries, the disk and the database."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "note", "problem"]

GIB = 2**30
FULL_BELOW, SCARCE_BELOW = 2 * GIB, 20 * GIB
"""Bytes of free disk: checkpoints of a study take 100 MiB to some GiB."""
_SMALL_GPU = 6 * GIB
_FLASH = (8, 0)
"""CUDA capability from which FlashAttention runs."""
_OWN = ("search", "trainer", "evaluation", "studies")

REQUIRED = (
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "safetensors",
    "optuna",
    "optuna-dashboard",
    "lycoris-lora",
)
OPTIONAL: Mapping[str, tuple[tuple[str, ...], str]] = {
    "xformers": (("xformers",), "compute.attention = 'xformers'"),
    "flash-attn": (
        ("flash-attn",),
        "FlashAttention of its own; PyTorch brings one for compute.attention = 'flash'",
    ),
    "bitsandbytes": (("bitsandbytes",), "8-bit optimisers"),
    "tensorboard": (("tensorboard",), "curves in TensorBoard"),
    "psycopg": (("psycopg", "psycopg2", "psycopg2-binary", "psycopg-binary"), "a study in PostgreSQL"),
    "ray": (("ray",), "work spread over machines by Ray"),
    "grpcio": (("grpcio",), "Optuna's storage proxy over gRPC"),
}
"""By the name to install: distributions of which one does, and what for."""
FORBIDDEN = ("torchvision", "open-clip-torch")
"""Beside a torch for CPUs, these pull another torch or fail at import."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line."""

    topic: str
    state: State
    said: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """JSON values."""
        return asdict(self)


Version = Callable[[str], str | None]
"""The version of an installed distribution; None if it is not."""


def installed(name: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def checks(workspace: Path, storage: str | None) -> Iterator[Check]:
    """Everything, from the interpreter to the database.

    Args:
        workspace: folder under which studies write.
        storage: URL of a database to reach; None leaves that out.
    """
    yield python(sys.version_info[:3])
    yield from libraries(installed)
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check("PyTorch", "problem", f"cannot be imported ({error})", "pip install 'torch>=2.4,<2.14'")
    else:
        yield from device(torch, shutil.which("nvidia-smi") is not None)
        yield from threads(torch.get_num_threads(), _cores(), os.environ)
        yield from forbidden(installed, torch.version.cuda is None)
    yield from optional(installed)
    yield from own_names(packages_distributions())
    yield from disk(workspace)
    if storage is not None:
        yield database(storage)


def python(found: tuple[int, ...]) -> Check:
    """Whether the interpreter is new enough."""
    said = ".".join(map(str, found))
    if found < (3, 11):
        return Check("Python", "problem", said, "3.11 or newer is needed: make PYTHON=python3.11 setup")
    return Check("Python", "ok", said)


def libraries(of: Version) -> Iterator[Check]:
    """What lorasearch cannot do without."""
    found = {name: of(name) for name in REQUIRED}
    missing = [name for name, there in found.items() if there is None]
    if missing:
        yield Check(
            "libraries", "problem", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}"
        )
    yield Check("libraries", "ok", ", ".join(f"{name} {there}" for name, there in found.items() if there))


def device(torch: Any, driver: bool) -> Iterator[Check]:
    """GPU, its memory, number formats and kinds of attention.

    Args:
        torch: the module.
        driver: whether NVIDIA's driver is installed.
    """
    if not torch.cuda.is_available():
        if driver:
            build = "for CPUs only" if torch.version.cuda is None else f"for CUDA {torch.version.cuda}"
            yield Check(
                "GPU", "problem", f"NVIDIA's driver is there, but PyTorch {torch.__version__} ({build}) finds no GPU",
                "install the CUDA build that fits the driver: https://pytorch.org/get-started/locally",
            )  # fmt: skip
        else:
            yield Check(
                "GPU", "note", "none: SD 1.x trains very slowly on a CPU", "use a machine with an NVIDIA GPU"
            )
        yield Check(
            "precision", "note", "on a CPU float32 is fastest", "leave compute.mixed_precision = 'no'"
        )
        yield Check("attention", "ok", "sdpa; xformers and flash need CUDA")
        return
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        free, total = torch.cuda.mem_get_info(number)
        said = f"{facts.name}, {total / GIB:.1f} GiB ({free / GIB:.1f} GiB free), CUDA {torch.version.cuda}"
        if total < _SMALL_GPU:
            yield Check(
                f"GPU {number}",
                "note",
                said,
                "compute.gradient_checkpointing = true and pack.size = 1 save memory",
            )
        elif free < total / 2:
            yield Check(
                f"GPU {number}", "note", said, "another process holds more than half of it: nvidia-smi"
            )
        else:
            yield Check(f"GPU {number}", "ok", said)
    capability = torch.cuda.get_device_capability()
    if torch.cuda.is_bf16_supported(including_emulation=False):
        yield Check("precision", "ok", "bf16 and fp16")
    else:
        yield Check("precision", "note", "fp16, no bf16", "set compute.mixed_precision = 'fp16'")
    flash = capability >= _FLASH and torch.backends.cuda.flash_sdp_enabled()
    kinds = ["sdpa", *(["flash"] if flash else []), *(["xformers"] if find_spec("xformers") else [])]
    yield Check("attention", "ok", f"{', '.join(kinds)} (capability {capability[0]}.{capability[1]})")


def threads(used: int, cores: int, environment: Mapping[str, str]) -> Iterator[Check]:
    """How many threads PyTorch takes, and what slows them."""
    said = f"{used} of {cores} cores"
    if environment.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE":
        yield Check(
            "threads", "note", f"{said}, OMP_WAIT_POLICY=PASSIVE",
            "unset it on an idle machine: it makes packed steps up to three times slower",
        )  # fmt: skip
    elif used > cores:
        yield Check("threads", "note", f"{used} on {cores} cores", f"set OMP_NUM_THREADS={cores}")
    else:
        yield Check("threads", "ok", said)


def forbidden(of: Version, cpu_torch: bool) -> Iterator[Check]:
    """What must not stand beside a torch for CPUs."""
    there = [name for name in FORBIDDEN if of(name)]
    if there and cpu_torch:
        yield Check(
            "conflicts", "problem", f"{', '.join(there)} beside a PyTorch for CPUs",
            f"they load CUDA or another PyTorch: pip uninstall {' '.join(there)}",
        )  # fmt: skip
    else:
        yield Check("conflicts", "ok", "none")


def optional(of: Version) -> Iterator[Check]:
    """What adds something where it is installed."""
    for name, (distributions, purpose) in OPTIONAL.items():
        there = next(((d, v) for d in distributions if (v := of(d))), None)
        if there is None:
            yield Check(
                name, "note", f"not installed; for {purpose}", f"pip install {name}, if you want that"
            )
        else:
            yield Check(name, "ok", f"{there[1]}: {purpose}")


def own_names(owners: Mapping[str, list[str]]) -> Iterator[Check]:
    """Whether another distribution owns a package named like ours.

    Args:
        owners: distributions by top-level package.
    """
    for package in _OWN:
        others = [name for name in dict.fromkeys(owners.get(package, ())) if name != "lorasearch"]
        if others:
            yield Check(
                "conflicts", "problem", f"{', '.join(others)} brings a package {package!r} of its own",
                f"give lorasearch a virtual environment of its own, or pip uninstall {' '.join(others)}",
            )  # fmt: skip


def disk(folder: Path) -> Iterator[Check]:
    """Free space, and whether files can be written."""
    there = next((place for place in (folder, *folder.resolve().parents) if place.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    said = f"{free / GIB:.1f} GiB free at {there}"
    if free < FULL_BELOW:
        yield Check(
            "disk", "problem", said, "make room: a study writes a LoRA file for each epoch of each trial"
        )
    elif free < SCARCE_BELOW:
        yield Check("disk", "note", said, "a study of SDXL LoRAs may need more")
    else:
        yield Check("disk", "ok", said)
    try:
        with tempfile.TemporaryFile(dir=there) as scratch:
            scratch.write(b"lorasearch")
    except OSError as error:
        yield Check(
            "workspace", "problem", f"{there} cannot be written ({error.strerror})",
            "change its owner, or name another folder with --workspace",
        )  # fmt: skip
    else:
        yield Check("workspace", "ok", f"{folder} can be written")


def database(url: str) -> Check:
    """Whether a storage URL leads to a database; passwords are never shown."""
    from search.storage import StorageError, reach, redacted
    from studies.errors import StudyError
    from studies.study.storage import connected
    from studies.workspace import Workspace

    try:
        url = connected(Workspace(Path()), url) if url.startswith("env:") else url
        said = reach(url)
    except (StorageError, StudyError) as error:
        return Check(
            "storage", "problem", str(error), "check address, user, password and whether the server runs"
        )
    return Check("storage", "ok", f"{redacted(url)}: {said}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
