from collections.abc import Mapping
from pathlib import Path

import pytest

from tools import house


def planted(root: Path, files: Mapping[str, str]) -> list[house.Source]:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return house.sources(root)


def test_the_project_breaks_none_of_its_rules():
    assert [str(breach) for breach in house.breaches(house.ROOT, house.sources(house.ROOT))] == []


def test_six_modules_may_not_stand_flat_in_studies(tmp_path):
    five = {f"studies/{name}.py": "" for name in ("__init__", "a", "b", "c", "d", "e")}
    assert list(house.flat_modules(planted(tmp_path, five | {"studies/room/f.py": ""}))) == []
    (breach,) = house.flat_modules(planted(tmp_path, {"studies/g.py": ""}))
    assert breach.file == "studies/"
    assert "6 modules stand flat (a, b, c, d, e, g)" in breach.what
    assert "5" in breach.limit


def test_a_class_name_is_given_once_nested_and_private_ones_too(tmp_path):
    files = {
        "search/a.py": "class Trial: ...\nclass _Row: ...",
        "studies/b.py": "class Row: ...\ndef f():\n    class Trial: ...",
        "trainer/c.py": "class Other:\n    class _Row: ...",
    }
    found = [(breach.file, breach.what) for breach in house.class_names(planted(tmp_path, files))]
    assert found == [
        ("studies/b.py:3", "class Trial has the name of the one at search/a.py:1"),
        ("trainer/c.py:2", "class _Row has the name of the one at search/a.py:2"),
    ]


def test_a_module_imports_twelve_others_at_most_wherever_it_does(tmp_path):
    twelve = "\n".join(f"import search.m{number}" for number in range(11))
    inside = "\ndef f():\n    from search import m11\nfrom search.m0 import x"
    last = "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from search.m12 import T"
    modules = {f"search/m{number}.py": "" for number in range(13)} | {"search/__init__.py": ""}
    assert list(house.fan_outs(planted(tmp_path, modules | {"studies/a.py": twelve + inside}), {})) == []
    wide = planted(tmp_path, {"studies/a.py": twelve + inside + last})
    (breach,) = house.fan_outs(wide, {})
    assert (breach.file, breach.what) == ("studies/a.py", "imports 13 of our modules")
    assert list(house.fan_outs(wide, {"studies.a": "a reason"})) == []


@pytest.mark.parametrize(
    "back",
    [
        "import search.a",
        "from search import a",
        "def f():\n    from search.a import x",
        "if TYPE_CHECKING:\n    from search.a import x",
    ],
)
def test_no_circle_of_imports_stands_however_it_closes(tmp_path, back):
    straight = {
        "search/a.py": "from search.b import x",
        "search/b.py": "from search import c",
        "search/c.py": "",
    }
    assert list(house.circles(planted(tmp_path, straight))) == []
    (breach,) = house.circles(planted(tmp_path, {"search/c.py": back}))
    assert breach.file == "search/a.py"
    assert "search.a, search.b, search.c" in breach.what


def test_a_test_has_the_place_and_name_of_its_source(tmp_path):
    planted(
        tmp_path,
        {
            "studies/spec/toml.py": "",
            "studies/cli/import_.py": "",
            "tools/house.py": "",
            "tests/studies/spec/test_toml.py": "",
            "tests/studies/cli/test_import.py": "",
            "tests/tools/test_house.py": "",
            "tests/studies/scenarios/test_two_runners.py": "",
            "tests/test_readme.py": "",
            "tests/studies/test_toml.py": "",
        },
    )
    (breach,) = house.unmirrored_tests(tmp_path, {"tests/test_readme.py": "no source"})
    assert (breach.file, breach.what) == ("tests/studies/test_toml.py", "there is no studies/toml.py")


def test_untyped_documents_are_limited_in_studies_alone(tmp_path):
    read = "def f(x): return x['key'], x.get('key'), x['key'][0], x.get(key)\n"
    others = "x['key'] = 1\ny: Literal['key']\nz: type['X']\n"
    modules = planted(tmp_path, {"studies/a.py": read + others, "studies/b.py": read, "search/a.py": read})
    assert list(house.string_keys(modules, 6)) == []
    (breach,) = house.string_keys(modules, 5)
    assert breach.file == "studies/a.py"
    assert "6 string-key look-ups in studies, 3 of them here" in breach.what
    assert "5" in breach.limit


def test_an_exception_that_is_needed_no_longer_is_a_breach(tmp_path):
    modules = planted(tmp_path, {"studies/a.py": ""})
    names = [breach.what for breach in house.stale(tmp_path, modules, ["studies.a"], ["tests/test_gone.py"])]
    assert names == ["studies.a is no exception", "tests/test_gone.py is no exception"]


def test_a_package_is_measured(tmp_path):
    lines = "from studies.b import _x\n\n\ndef f(x):\n    '''Says.'''\n    y = x['k']\n    return y\n"
    (row,) = house.measures(planted(tmp_path, {"studies/a.py": lines, "studies/b.py": "_x = 1\n"}))
    assert (row.package, row.lines, row.functions) == ("studies", [7, 1], [2])
    assert (row.fan_outs, row.lookups, row.private) == ([1, 0], 1, 1)
    assert "1/7" in house.table([row])
    assert "0.5/0/1" in house.table([row])


def test_a_breach_is_told_in_a_sentence_and_fails(tmp_path, capsys):
    planted(tmp_path, {"search/a.py": "class A: ...\nclass A: ..."})
    assert house.main(tmp_path) == 1
    assert (
        "search/a.py:2: class A has the name of the one at search/a.py:1; a name stands for one class: "
        "rename the less central one to the field's word."
    ) in capsys.readouterr().out
