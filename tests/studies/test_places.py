from studies.places import line_of, lines

TEXT = """\
[study]
name = "x"

[search.space]
"lora.rank" = { choices = [1, 2] }

[[first]]
"lora.rank" = 1

[[first]]
"lora.rank" = 2
"""


def test_every_key_and_header_has_its_line():
    found = lines(TEXT)
    assert found[("study", "name")] == 2
    assert found[("search", "space", "lora.rank")] == 5
    assert found[("first", "1", "lora.rank")] == 11


def test_an_unknown_key_is_placed_at_its_table():
    assert line_of(lines(TEXT), ("study", "seed")) == 1
    assert line_of(lines(TEXT), ("elsewhere",)) is None


def test_lines_of_a_long_text_may_look_like_keys() -> None:
    text = 'a = """\n[b c]\nd e = 1\n"\\q" = 2\n"""\nb = 1\n'
    assert lines(text)[("b",)] == 6
