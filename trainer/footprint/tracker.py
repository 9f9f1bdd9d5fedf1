"""Counts the bytes of living tensors, fake ones as well as real ones."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, every new tensor's storage is counted until it is freed.

    Storages are counted once however many views they have, and as large as they are; what an allocator rounds up
    or a library takes for itself is not seen. What lives already is to be adopted: a view of it would count as new.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        """Bytes of the storages that live now."""
        self.peak = 0
        """The most that ``live`` has been."""
        self._known: dict[int, tuple[int, weakref.ref[Any]]] = {}

    def adopt(self, tensors: Iterable[Tensor]) -> None:
        """Counts tensors that were made before."""
        for tensor in tensors:
            self._note(tensor)

    def adopt_network(self, network: nn.Module) -> None:
        """Counts the parameters and buffers of a network."""
        self.adopt(network.parameters())
        self.adopt(network.buffers())

    def rewind(self) -> None:
        """Forgets the peak: it is what lives now."""
        self.peak = self.live

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs an operator and counts what it made."""
        made = func(*args, **(kwargs or {}))
        for value in tree_iter(made):
            if isinstance(value, Tensor):
                self._note(value)
        return made

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known[key] = size, weakref.ref(storage, lambda _: self._gone(key))
        self.live += size
        self.peak = max(self.peak, self.live)

    def _gone(self, key: int) -> None:
        size, _ = self._known.pop(key)
        self.live -= size
