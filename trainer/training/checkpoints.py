"""What a trial leaves on disk at an epoch end: the LoRA file, and all that is needed to go on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer.adapters.bank import AdapterBank
from trainer.files import write_whole
from trainer.training.run import Progress, TrainingRun

Json = Any


def save_state(path: Path, run: TrainingRun, bank: AdapterBank) -> None:
    """Writes weights, optimiser, schedule and position in one safetensors file, whole or not at all."""
    from safetensors.torch import save

    parts = {**run.stepper.state_dict(), "progress": asdict(run.progress)}
    if run.average is not None:
        parts["average"] = run.average.state_dict()
    tensors: dict[str, Tensor] = {f"weights/{name}": value for name, value in bank.state(run.slot).items()}
    facts = _flatten(parts, "state", tensors)
    write_whole(path, save(tensors, {"facts": json.dumps(facts)}))


def load_state(path: Path, run: TrainingRun, bank: AdapterBank) -> None:
    """Brings a freshly made run to where ``save_state`` left it.

    Tensors are copied out of the file's memory: at another alignment, products would round otherwise.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        facts = json.loads(file.metadata()["facts"])
    weights = {
        key.removeprefix("weights/"): value for key, value in tensors.items() if key.startswith("weights/")
    }
    bank.load(run.slot, weights)
    parts = _unflatten(facts, tensors)
    run.stepper.load_state_dict(parts)
    if run.average is not None:
        run.average.load_state_dict(parts["average"])
    run.resume(Progress(**parts["progress"]))


def _flatten(value: Any, path: str, tensors: dict[str, Tensor]) -> Json:
    """JSON with every tensor replaced by the key under which it was put into ``tensors``."""
    match value:
        case Tensor():
            tensors[path] = value.detach().to("cpu", copy=True).contiguous()
            return {"tensor": path}
        case dict():
            return {"items": [[key, _flatten(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
        case list() | tuple():
            kind = "list" if isinstance(value, list) else "tuple"
            return {kind: [_flatten(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]}
        case None | bool() | int() | float() | str():
            return {"value": value}
        case _:
            raise TypeError(f"training state at {path} is a {type(value).__name__}, which cannot be stored")


def _unflatten(node: Json, tensors: dict[str, Tensor]) -> Any:
    ((kind, content),) = node.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "items":
            return {key: _unflatten(item, tensors) for key, item in content}
        case "list":
            return [_unflatten(item, tensors) for item in content]
        case "tuple":
            return tuple(_unflatten(item, tensors) for item in content)
        case _:
            return content
