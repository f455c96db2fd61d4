"""The house rules, read from the source: imports go down, torch stays out of the front rooms, and
only `methods` knows which method it is."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structure

from eibench.plan import METHODS

PACKAGE = Path(__file__).parents[1] / "eibench"

MAY_IMPORT = {
    "errors": set(),
    "version": set(),
    "limits": set(),
    "files": {"errors"},
    "nn": set(),
    "plan": {"errors", "files", "limits"},
    "data": {"errors", "files", "plan.options"},
    "methods": {"nn", "plan.options"},
    "models": {"methods", "nn", "plan.options"},
    "results": {"errors", "files", "limits", "plan"},
    "report": {"errors", "files", "version", "plan", "results"},
    "training": {
        "errors",
        "files",
        "version",
        "plan",
        "results",
        "data",
        "methods",
        "models",
        "nn",
    },
    "interop": {"errors", "files", "version", "plan", "results", "models", "nn", "training"},
    "probe": {"plan", "results", "data", "training", "nn"},
    "execution": {"errors", "files", "version", "plan", "results", "data", "training", "probe"},
    "profile": {"errors", "plan", "data", "nn", "training", "probe", "execution"},
    "cost": {
        *("errors", "plan", "results", "data", "nn", "training", "execution", "profile"),
    },
    "plugins": {"errors", "files", "plan", "data", "methods"},
    "contracts": {"errors", "plan", "data", "methods", "models", "nn"},
    "search": {"errors", "files", "plan", "results", "training", "execution"},
    "cli": {
        *(
            "errors",
            "files",
            "limits",
            "version",
            "plan",
            "results",
            "report",
            "execution",
            "profile",
            "search",
            "contracts",
            "cost",
            "interop",
        ),
        "nn",
    },
}
"""For each room, the rooms whose code it may import, at the top of a file or within a function."""
FRONT = ("plan", "methods", "models", "results", "report", "cli", "errors", "files", "limits")


def files(room: str) -> list[Path]:
    return (
        [PACKAGE / f"{room}.py"]
        if (PACKAGE / f"{room}.py").exists()
        else sorted((PACKAGE / room).rglob("*.py"))
    )


def imports(path: Path, top_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_every_room_is_in_the_table():
    rooms = {p.stem for p in PACKAGE.iterdir() if p.is_dir() or p.suffix == ".py"}
    assert rooms - {"__init__", "__main__", "__pycache__", "py"} == MAY_IMPORT.keys()


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_down(room):
    for path in files(room):
        own = {name.removeprefix("eibench.") for name in imports(path) if "eibench." in name}
        allowed = tuple(f"{name}." for name in (*MAY_IMPORT[room], room))
        assert {name for name in own if not f"{name}.".startswith(allowed)} == set(), path


@pytest.mark.parametrize("room", FRONT)
def test_front_rooms_do_not_load_torch(room):
    for path in files(room):
        loaded = {name.split(".")[0] for name in imports(path, top_level=True)}
        assert not loaded & {"torch", "torchvision", "sklearn"}, path


def test_equations_know_no_kernels():
    for path in (PACKAGE / "nn" / "functional").glob("*.py"):
        assert not any(name.startswith("eibench.nn.kernels") for name in imports(path)), path


def test_only_methods_knows_the_method():
    """No comparison with a method's name outside methods/ (`if method == "ei"`)."""
    names = set(METHODS)
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "methods":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                constants = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                assert not constants & names, f"{path}:{node.lineno}"


@pytest.mark.parametrize("words", [["--help"], ["list", "methods"], ["report", "--help"]])
def test_these_commands_answer_without_torch(words):
    code = (
        "import sys; from eibench.cli import app\n"
        f"try: app({words!r})\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pandas', 'matplotlib', 'scipy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_imports_have_no_circle():
    """Neither at the top of a file, nor within a function, nor under `TYPE_CHECKING`."""
    assert structure.circle(structure.read_arrows()) == []


def test_a_circle_is_found_and_floors_are_counted():
    assert set(structure.circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
    assert structure.circle({"a": {"b", "c"}, "b": {"c"}}) == []
    assert structure.floors({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == 3
    assert structure.without_detours({"a": {"b", "c"}, "b": {"c"}, "c": set()})["a"] == {"b"}


REPORT_IMPORTS, REPORT_FLOORS = 224, 7
"""LaTeX has a module each for widths, tabulars, floats and macros; short notes stand apart. Figures
have one each for the look, colours, curves, maps and cost. A page stands on
all of them: its charts have a module for each kind of figure, and one each for marks and axes. The
tables of costs have a module, and one for their notes; the summary one for its tasks."""


def test_report_stays_a_house_of_few_floors():
    inner = structure.inner_arrows(structure.read_arrows(), "report")
    assert sum(map(len, inner.values())) <= REPORT_IMPORTS
    assert structure.floors(inner) <= REPORT_FLOORS


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Every node of the package's source, with its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            yield str(path.relative_to(PACKAGE)), node


def test_class_names_are_unique():
    count = Counter(node.name for _, node in nodes() if isinstance(node, ast.ClassDef))
    assert [name for name, times in count.items() if times > 1] == []


def test_docstrings_begin_with_what_they_describe():
    """A verb in functions (ruff's D401), a noun phrase in classes and attributes."""
    vague = ("What", "Of", "Whether", "How")
    found = [
        f"{path}:{node.lineno}"
        for path, node in nodes()
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        and re.match(r"\s*\w*", node.value.value)[0].strip() in vague
    ]
    assert found == []
