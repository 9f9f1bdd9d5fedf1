"""What ``benchmarks.fuzz`` makes its cases of: odd values and texts, and changes to valid ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

LIBRARY = Path(__file__).resolve().parents[1] / "studies" / "library"
ASSETS = LIBRARY / "assets"

Cases = st.SearchStrategy[Any]
Read = Callable[[Any], None]


@dataclass(frozen=True)
class Target:
    """What is made up, and what reads it."""

    cases: Cases
    read: Read


# Values and texts that are mutated ------------------------------------------------------------------------------------

odd_text = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "\0", "..", "/", "-", "nan", "1e999", "<script>", "](javascript:", "[red]", "\x1b[2J", "a" * 300]
    ),
)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.integers(-3, 3000),
    st.floats(),
    odd_text,
    st.none(),
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(odd_text, inner, max_size=4),
    max_leaves=12,
)
literals = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.integers(-3, 3000).map(str),
    st.floats().map(
        lambda number: {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(number), repr(number))
    ),
    odd_text.map(lambda text: json.dumps(text)),
    st.sampled_from(
        [
            "true",
            "[]",
            "{}",
            "2020-01-01",
            "07:30:00",
            "1979-05-27T07:32:00Z",
            "'''a\n[b c]\nd e = 1\n'''",
            "[[1], [2]]",
        ]
    ),
    st.lists(st.sampled_from(["1", "2.5", "true", '"x"', "nan", "{ a = 1 }"]), max_size=4).map(
        lambda parts: f"[{', '.join(parts)}]"
    ),
    st.dictionaries(
        st.sampled_from(["low", "high", "log", "step", "choices", "when", "name", "file", "x"]),
        st.sampled_from(
            ["1", "0", "-1", "1e-4", "true", "nan", '"adamw"', "[]", "[1, 2]", '{ "lora.rank" = [4] }']
        ),
        max_size=5,
    ).map(lambda table: f"{{ {', '.join(f'{key} = {value}' for key, value in table.items())} }}"),
)


@st.composite
def mutated_toml(draw: st.DrawFn, texts: Sequence[str], keys: Sequence[str]) -> bytes:
    """Valid TOML with values replaced, lines moved, doubled or lost, keys added, or bytes cut, doubled and changed."""
    lines = draw(st.sampled_from(texts)).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["value", "value", "value", "add", "drop", "double", "move"])):
            case "value":
                key, equals, _ = lines[place].partition("=")
                lines[place] = f"{key}= {draw(literals)}" if equals else lines[place]
            case "add":
                key = draw(st.sampled_from(keys) | odd_text.map(json.dumps))
                lines.insert(place, f"{key} = {draw(literals)}")
            case "drop" if len(lines) > 1:
                del lines[place]
            case "double":
                lines.insert(place, lines[place])
            case _:
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(place))
    return draw(mutated_bytes("\n".join(lines).encode(errors="replace"), rarely=True))


@st.composite
def mutated_bytes(draw: st.DrawFn, content: bytes, rarely: bool = False) -> bytes:
    """Bytes with up to three places cut, doubled or changed; ``rarely`` in one of ten cases only."""
    if rarely and draw(st.integers(0, 9)):
        return content
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(content)))
        end = draw(st.integers(begin, min(len(content), begin + 40)))
        middle = draw(st.one_of(st.binary(max_size=8), st.just(content[begin:end] * 2), st.just(b"")))
        content = content[:begin] + middle + content[end:]
    return content
