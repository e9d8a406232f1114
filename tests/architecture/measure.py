"""Figures of the house: rooms, circles, lengths, words. Standard library only.

    python tests/architecture/measure.py [ROOT] [--against OTHER_ROOT]

ROOT is a checkout (default: this one). With ``--against`` every figure stands beside that of
another checkout, so a change of layout shows both columns in one run.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "tropattn"
PATH = ("attention", "tropical", "polyhedra", "regions")
"""Rooms that a count of given weights passes."""

LONGEST_MODULE, LONGEST_FUNCTION, MOST_PARAMETERS = 600, 60, 8

WORDS = {
    "live": r"\blive\b",
    "skeleton": r"\bskeletons?\b",
    "cascade": r"\bcascades?\b",
    "Tower": r"\bTower\b",
    "lanes": r"\blanes?\b",
    "chords' flag, home, hug, aim": r"\b(flag|home|hug|aim)\b",
    "table": r"\btable\b",
    "solid": r"\bsolid\b",
    "faces": r"\bfaces\b",
    "forward": r"\bforward\b",
    "refine": r"\brefine\b",
    "Frame": r"\bFrame\b",
    "applies": r"\bapplies\b",
    "_exact_rows": r"\b_exact_rows\b",
    "one a ...": r"\bone a [a-z]+\b",
    "a ... a row": r"\ba [a-z]+ a row\b",
}
"""Words with more than one meaning, or metaphors, and how to find them."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """One file: its dotted name, its text and its syntax tree."""

    def __init__(self, root: Path, path: Path) -> None:
        parts = path.relative_to(root).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.path = path.relative_to(root)
        self.text = path.read_text(encoding="utf-8")
        self.lines = len(self.text.splitlines())
        self.tree = ast.parse(self.text)
        self.is_door = path.name == "__init__.py"

    @property
    def room(self) -> str:
        """The folder the file lies in, doors and loose files included."""
        return str(self.path.parent)

    def functions(self) -> Iterator[tuple[Function, int]]:
        """Every function with its length in lines, docstring left out."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                first, last = node.body[0], node.end_lineno or node.lineno
                doc = 0
                if isinstance(first, ast.Expr) and ast.get_docstring(node) is not None:
                    doc = (first.end_lineno or first.lineno) - first.lineno + 1
                yield node, last - node.lineno + 1 - doc

    def imports(self, known: set[str]) -> set[str]:
        """Modules of the package that this one imports: at its top, later, or for types alone."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                inner = whole & known
                found |= inner
                if len(inner) < len(whole):
                    found.add(node.module)
        return (found & known) - {self.name}


def modules(root: Path) -> list[Module]:
    """All modules of the package below a checkout."""
    return [Module(root, path) for path in sorted((root / PACKAGE).rglob("*.py"))]


def circles(found: list[Module]) -> list[list[str]]:
    """Sets of modules that import each other in a circle (strong components, Tarjan 1972)."""
    known = {module.name for module in found}
    graph = {module.name: module.imports(known) for module in found}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    result = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            component = []
            while not component or component[-1] != name:
                component.append(stack.pop())
            if len(component) > 1:
                result.append(sorted(component))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return sorted(result)


def floors(found: list[Module], room: str) -> tuple[int, int]:
    """Number of files of a room, and of arrows between them."""
    inside = {module.name for module in found if module.room == room and not module.is_door}
    arrows = sum(len(module.imports(inside)) for module in found if module.name in inside)
    return len(inside), arrows


def figures(root: Path) -> dict[str, str]:
    """Every figure by its name, in the order in which it is printed."""
    found = modules(root)
    rows: dict[str, str] = {"files": str(len(found))}
    rows["lines"] = str(sum(module.lines for module in found))
    for room in sorted({module.room for module in found}):
        inside = [module for module in found if module.room == room]
        files, arrows = floors(found, room)
        lines = sum(module.lines for module in inside)
        rows[f"room {room}"] = f"{files} files, {arrows} arrows, {lines} lines"
    rounds = circles(found)
    rows["import circles"] = str(len(rounds))
    for number, ring in enumerate(rounds, 1):
        rows[f"  circle {number}"] = ", ".join(n.removeprefix(PACKAGE + ".") for n in ring)
    rows |= _lengths(found)
    rows["definitions of Array"] = str(
        sum(len(re.findall(r"(?m)^Array\b.*=", module.text)) for module in found)
    )
    path = [m for m in found if m.name.split(".")[1:2] and m.name.split(".")[1] in PATH]
    rows[f"types between weights and number (classes in {', '.join(PATH)})"] = str(
        sum(isinstance(node, ast.ClassDef) for m in path for node in ast.walk(m.tree))
    )
    for word, pattern in WORDS.items():
        rows[f"word: {word}"] = str(sum(len(re.findall(pattern, m.text)) for m in found))
    classes = Counter(
        node.name for m in found for node in ast.walk(m.tree) if isinstance(node, ast.ClassDef)
    )
    doubled = sorted(f"{name} x{n}" for name, n in classes.items() if n > 1)
    rows["class names used more than once"] = ", ".join(doubled) or "none"
    return rows


def _positional(node: Function) -> list[ast.arg]:
    """Parameters that may be given by place, the object or class of a method apart."""
    given = node.args.posonlyargs + node.args.args
    return given[1:] if given and given[0].arg in ("self", "cls") else given


def _lengths(found: list[Module]) -> dict[str, str]:
    longest = max(found, key=lambda module: module.lines)
    functions = [(size, f"{m.path}:{node.name}") for m in found for node, size in m.functions()]
    crowded = [
        f"{module.path}:{node.name}"
        for module in found
        for node, _ in module.functions()
        if "_kernels" not in module.path.parts and len(_positional(node)) > MOST_PARAMETERS
    ]
    return {
        "longest module": f"{longest.lines} ({longest.path})",
        f"modules above {LONGEST_MODULE} lines": str(
            sum(module.lines > LONGEST_MODULE for module in found)
        ),
        "longest function, docstring apart": "{} ({})".format(*max(functions)),
        f"functions above {LONGEST_FUNCTION} lines": str(
            sum(size > LONGEST_FUNCTION for size, _ in functions)
        ),
        f"functions with more than {MOST_PARAMETERS} positional parameters, kernels apart": str(
            len(crowded)
        ),
    }


def main() -> None:
    """Print the figures of one checkout, or of two side by side."""
    here = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, default=here)
    parser.add_argument("--against", type=Path, metavar="OTHER_ROOT")
    asked = parser.parse_args()
    after = figures(asked.root)
    before = figures(asked.against) if asked.against else {}
    width = max(map(len, [*after, *before]))
    for name in [*before, *(name for name in after if name not in before)]:
        columns = [before.get(name, "-")] if asked.against else []
        print(f"{name:{width}}  " + "  ->  ".join([*columns, after.get(name, "-")]))


if __name__ == "__main__":
    main()
