"""Tensors kept on disk under the hash of what they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from trainer.files import write_whole


class TensorCache:
    """A folder of one-tensor safetensors files, shared by all trials and runs of a workspace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, Tensor] = {}

    def get(self, parts: tuple[object, ...], make: Callable[[], Tensor]) -> Tensor:
        """The tensor made from ``parts``: from memory, from disk, or made now and kept; on the CPU."""
        key = hashlib.sha256(repr(parts).encode()).hexdigest()
        if key not in self._held:
            self._held[key] = self._from_disk(key) if self._path(key).exists() else self._keep(key, make())
        return self._held[key]

    def table(self, parts: tuple[object, ...], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Several tensors made from ``parts`` at once: from disk, or made now and kept there; on the CPU."""
        path = self._path(hashlib.sha256(repr(parts).encode()).hexdigest())
        if not path.exists():
            from safetensors.torch import save

            made = {name: tensor.detach().to("cpu").contiguous() for name, tensor in make().items()}
            write_whole(path, save(made))
            return made
        from safetensors.torch import load_file

        found: dict[str, Tensor] = load_file(path)
        return found

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"

    def _from_disk(self, key: str) -> Tensor:
        from safetensors.torch import load_file

        tensor: Tensor = load_file(self._path(key))["tensor"]
        return tensor

    def _keep(self, key: str, tensor: Tensor) -> Tensor:
        from safetensors.torch import save

        tensor = tensor.detach().to("cpu").contiguous()
        write_whole(self._path(key), save({"tensor": tensor}))
        return tensor
