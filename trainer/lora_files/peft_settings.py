"""The settings of PEFT's adapters, made and read by PEFT's own classes; the library is imported when it is needed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from trainer.lora_files.layers import LoraFileError

if TYPE_CHECKING:
    from peft import PeftConfig

KINDS = ("LORA", "LOHA", "LOKR", "IA3", "OFT", "BOFT")
"""Adapters whose difference follows from their tensors and settings."""
_NAMES = "LoRA, LoHa, LoKr, IA3, OFT and BOFT"
_NOTHING: tuple[object, ...] = (None, False, "", [], {})
"""Values that ask for nothing."""
_VARIANTS = (
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "alora_invocation_tokens",
    "kasa_config",
    "velora_config",
    "monteclora_config",
    "layer_replication",
)
"""Settings of ``peft.LoraConfig`` by which a layer adds something else than its tensors say."""
_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings that take a part out of the base model's weights."""
_ALWAYS = {"peft_type", "r", "lora_alpha", "target_modules", "inference_mode", "base_model_name_or_path"}
_REFUSED = (TypeError, ValueError, KeyError, AttributeError, ImportError, NotImplementedError)
"""What PEFT's classes raise on settings that do not go together."""
_LONGEST = 200


def table(text: str) -> dict[str, Any]:
    """The table in the JSON text of a file.

    Raises:
        LoraFileError: it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LoraFileError(f"its settings are no JSON ({str(error)[:80]})") from error
    if not isinstance(found, dict):
        raise LoraFileError("its settings are no JSON table")
    return found


def parsed(table: Mapping[str, Any], keys: Collection[str] = ()) -> PeftConfig:
    """A part's settings as PEFT's class for its kind of adapter; without a kind, LoRA's.

    Args:
        table: out of ``adapter_config.json``, or of diffusers' metadata.
        keys: of the tensors, for the error.

    Raises:
        LoraFileError: the kind is none whose difference can be made, or PEFT does not take the settings.
    """
    kind = table.get("peft_type") or "LORA"
    if kind not in KINDS:
        holds = f" (its {len(keys)} tensors are such as {min(keys)[:_LONGEST]!r})" if keys else ""
        raise LoraFileError(
            f"the adapter is made with peft_type {str(kind)[:40]!r}{holds}; only {_NAMES} can be read"
        )
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    made: type[PeftConfig] = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    known = {field.name for field in fields(made)}
    strange = sorted(key for key, value in table.items() if key not in known and value not in _NOTHING)
    if strange:
        raise LoraFileError(
            f"its settings hold {', '.join(repr(key[:80]) for key in strange[:3])}, which {made.__name__} of the "
            "installed PEFT does not know; update PEFT, or save the adapter without it"
        )
    _check_variants(kind, table)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return made(**{key: value for key, value in table.items() if key in known})
    except _REFUSED as error:
        raise LoraFileError(
            f"PEFT does not take its settings ({' '.join(str(error)[:_LONGEST].split())})"
        ) from error


def _check_variants(kind: str, table: Mapping[str, Any]) -> None:
    """Whether the weights alone say what a LoRA does."""
    if kind != "LORA":
        return
    start = str(table.get("init_lora_weights"))
    odd = [name for name in _VARIANTS if table.get(name)]
    if start.startswith(_STARTS):
        odd.append(f"init_lora_weights {start[:40]!r}, which changes the base model")
    if odd:
        raise LoraFileError(f"the adapter is made with {', '.join(odd)}; only {_NAMES} can be read")


def lora(**asked: Any) -> dict[str, Any]:
    """Settings that ``peft.LoraConfig`` takes, without those that have their default: older versions know these, too.

    Args:
        asked: arguments of ``peft.LoraConfig``.
    """
    from peft import LoraConfig

    settings, defaults = LoraConfig(**asked).to_dict(), LoraConfig().to_dict()
    return {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in settings.items()
        if key in asked or key in _ALWAYS or value != defaults[key]
    }
