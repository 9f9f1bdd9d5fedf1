"""Whether torch can compile on this machine."""

from __future__ import annotations

import shutil

from trainer.bases.errors import BaseModelError

COMPILERS = ("g++", "clang++", "cl")
"""Of C++, by their commands; on a GPU, too, what starts the kernels is compiled."""


def compiler() -> str | None:
    """The C++ compiler that torch will find; None without one."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def check() -> None:
    """Whether ``compute.compile`` can be kept.

    Raises:
        BaseModelError: there is no compiler.
    """
    if compiler() is None:
        raise BaseModelError(
            f"compute.compile = true needs a C++ compiler ({', '.join(COMPILERS)}), which this machine lacks; "
            "install one, or set compute.compile = false."
        )
