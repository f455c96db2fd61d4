"""Structure of the package, read from its imports: rooms, circles, floors and the drawing of
docs/architecture.md.

A room is a folder or a module directly below `eibench/`. An arrow is an import of one module by
another, wherever it stands: at the top of a file, within a function or under `TYPE_CHECKING`.
`python docs/structure.py` prints the figures.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "eibench"
Arrows = Mapping[str, set[str]]
"""For each module the modules that it imports."""


def module_name(path: Path) -> str:
    """Return the dotted name of a source file; a package is named by its folder."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """Return the room of a module: the part of its name behind `eibench`."""
    return module.split(".")[1] if "." in module else module


def read_arrows() -> dict[str, set[str]]:
    """Read the package's own imports from its sources."""
    sources = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {name: set(_imported(path, sources.keys()) - {name}) for name, path in sources.items()}


def _imported(path: Path, modules: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import name`: an import of the module `name` if there is one.
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules else node.module)
    return found & set(modules)


def circle(arrows: Arrows) -> list[str]:
    """Return the modules of one circle of imports; an empty list if there is none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def inner_arrows(arrows: Arrows, of: str) -> dict[str, set[str]]:
    """Return the arrows between modules of one room."""
    return {
        name: {other for other in others if room(other) == of}
        for name, others in arrows.items()
        if room(name) == of
    }


def floors(arrows: Arrows) -> int:
    """Return the number of modules in the longest chain of imports."""
    height: dict[str, int] = {}
    for name in TopologicalSorter(arrows).static_order():
        height[name] = 1 + max((height[other] for other in arrows.get(name, ())), default=0)
    return max(height.values(), default=0)


def rooms(arrows: Arrows) -> dict[str, set[str]]:
    """Return for each room the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for name, others in arrows.items():
        if name not in {"eibench", "eibench.__main__"}:
            found.setdefault(room(name), set()).update(room(other) for other in others)
    return {name: others - {name, "eibench"} for name, others in found.items()}


def without_detours(graph: Arrows) -> dict[str, set[str]]:
    """Drop every arrow that a longer way between the same ends implies."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = list(graph.get(start, ()))
        while ahead:
            if (name := ahead.pop()) not in seen:
                seen.add(name)
                ahead += graph.get(name, ())
        return seen

    return {
        name: {other for other in others if not any(other in reached(via) for via in others)}
        for name, others in graph.items()
    }


def drawing() -> str:
    """Return the rooms as a Mermaid graph: an arrow where one imports another.

    `errors`, `files`, `limits` and `version`, which nearly all rooms import, are left out, and so
    is an arrow that a longer way implies.
    """
    hidden = {"errors", "files", "limits", "version"}
    graph = {k: v - hidden for k, v in rooms(read_arrows()).items() if k not in hidden}
    lines = [
        f"    {name} --> {other}"
        for name, others in sorted(without_detours(graph).items())
        for other in sorted(others)
    ]
    return "\n".join(["graph TD", *lines])


def main() -> None:
    """Print files, lines, inner imports and floors of every room."""
    arrows = read_arrows()
    print(f"{'room':<12} files  lines  inner imports  floors")
    for name in sorted(rooms(arrows)):
        paths = [p for p in PACKAGE.rglob("*.py") if room(module_name(p)) == name]
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
        inner = inner_arrows(arrows, name)
        count = sum(map(len, inner.values()))
        height = "-" if circle(inner) else floors(inner)
        print(f"{name:<12} {len(paths):>5}  {lines:>5}  {count:>13}  {height:>6}")
    print("circle:", " -> ".join(circle(arrows)) or "none")


if __name__ == "__main__":
    main()
