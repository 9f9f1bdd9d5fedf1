"""What all sections of a plan have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def shared(default: Any = ..., **constraints: Any) -> Any:
    """A field on which all trials of a pack must agree, so that it cannot be searched."""
    return Field(default, json_schema_extra={"shared": True}, **constraints)


def assigned(default: Any, **constraints: Any) -> Any:
    """A field that a study sets trial by trial, never a sampler; trials of a pack may differ in it."""
    return Field(default, json_schema_extra={"assigned": True}, **constraints)


class Frozen(BaseModel):
    """Plans never change after they were checked, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
