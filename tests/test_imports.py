"""The house's plan: lower rooms never import higher ones, siblings go by module, and importing does no work."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import equiwm
from equiwm.locate import BUILT_IN

ROOT = Path(equiwm.__file__).parent
LEVELS = {
    "printable": 0,
    "errors": 0,
    "boundary": 1,
    "interrupts": 1,
    "workers": 1,
    "trust": 1,
    "checks": 1,
    "schema": 1,
    "policy": 1,
    "locate": 1,
    "foreign": 1,
    "config": 1,
    "disk": 1,
    "layout": 1,
    "runs": 1,
    "resume_hint": 1,
    "results": 1,
    "stats": 1,
    "grid": 1,
    "cluster": 1,
    "symmetry": 1,
    "nn": 2,
    "audit": 2,
    "adapters": 3,
    "logs": 2,
    "devices": 2,
    "tensors": 2,
    "tables": 2,
    "figures": 2,
    "models": 3,
    "worlds": 3,
    "environments": 3,
    "planning": 3,
    "symmetrised": 3,
    "training": 4,
    "subject": 4,
    "loading": 4,
    "claims": 5,
    "evidence": 5,
    "collecting": 6,
    "distilling": 6,
    "export": 5,
    "testing": 5,
    "report": 6,
    "fsck": 6,
    "battery": 6,
    "pytest_plugin": 6,
    "cli": 7,
    "__main__": 8,
}
"""Room -> level, as in the design. A new room has to be given its place here."""

ROOMS_WITHOUT_TORCH = (
    "boundary",
    "interrupts",
    "workers",
    "trust",
    "errors",
    "printable",
    "resume_hint",
    "schema",
    "policy",
    "locate",
    "config",
    "disk",
    "layout",
    "runs",
    "results",
    "stats",
    "grid",
    "cluster",
    "tables",
    "figures",
    "report",
    "pytest_plugin",
)
MODULES = sorted(
    ".".join(("equiwm", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@dataclass(frozen=True)
class Import:
    """`module` imports `target`; at run time or for annotations alone."""

    module: str
    target: str
    line: int
    typing_only: bool
    lazy: bool


def file_of(module: str) -> Path:
    base = ROOT.joinpath(*module.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def statements(node: ast.AST, typing_only: bool = False, lazy: bool = False) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        checking = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, typing_only, lazy
        yield from statements(child, typing_only or checking, lazy or function)


@cache
def imports(module: str) -> tuple[Import, ...]:
    """Every import of `module` from this package, `from equiwm.a import b` as equiwm.a.b where that is a module."""
    found = []
    for node, typing_only, lazy in statements(ast.parse(file_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if name in MODULES else str(node.module) for name in names]
        else:
            assert isinstance(node, ast.Import)
            targets = [alias.name for alias in node.names]
        found += [
            Import(module, target, node.lineno, typing_only, lazy)
            for target in dict.fromkeys(targets)
            if target.split(".")[0] == "equiwm"
        ]
    return tuple(found)


def test_every_room_has_its_level():
    assert {room(module) for module in MODULES} - {"", "__main__"} <= set(LEVELS)


def test_the_document_has_the_same_plan():
    """The table of rooms in docs/extending.md."""
    text = (ROOT.parent / "docs" / "extending.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?`) \| (\d) \|", text, re.MULTILINE)
    told = {name: int(level) for names, level in rows for name in re.findall(r"`(\w+)`", names)}
    assert told == {name: level for name, level in LEVELS.items() if name != "__main__"}
    for link in re.findall(r"\]\((\.\./.+?)\)", text):
        assert (ROOT.parent / "docs" / link).exists(), link


def every_import() -> list[Import]:
    return [entry for module in MODULES for entry in imports(module)]


def test_lower_rooms_never_import_higher_ones():
    wrong = [
        f"{entry.module}:{entry.line} imports {entry.target}"
        for entry in every_import()
        if "." in entry.module and entry.target != "equiwm"
        if LEVELS[room(entry.target)] > LEVELS[room(entry.module)]
    ]
    assert wrong == []


def test_siblings_go_by_module():
    """Never through a package's `__init__`, and never through equiwm itself."""
    wrong = [
        f"{entry.module}:{entry.line} imports {entry.target}"
        for entry in every_import()
        if entry.target not in MODULES or file_of(entry.target).name == "__init__.py"
    ]
    assert wrong == []


def test_worlds_are_named_by_themselves_alone():
    """Another module asks a world's configuration, or names a preset; it knows no world by its name or class."""
    classes = {entry for name in BUILT_IN["world"] for entry in (name, BUILT_IN["world"][name].partition(":")[2])}
    classes -= {
        "data",
        "table",
        "pair",
        "bodies",
    }  # words that name other things as well; their classes are looked for all the same
    wrong = [
        f"{module}:{node.lineno} says {node.value!r}"
        for module in MODULES
        if room(module) not in ("worlds", "locate")
        for node in ast.walk(ast.parse(file_of(module).read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in classes
    ]
    folders = tuple(f"equiwm.worlds.{name}." for name in BUILT_IN["world"])
    wrong += [
        f"{entry.module}:{entry.line} imports {entry.target}"
        for entry in every_import()
        if room(entry.module) != "worlds" and entry.target.startswith(folders)
    ]
    assert wrong == []


@pytest.mark.parametrize("lazy", [False, True])
def test_no_circles(lazy):
    """Neither at import time nor with what functions import; annotations may point anywhere below."""
    graph = {
        module: {
            entry.target
            for entry in imports(module)
            if not entry.typing_only and (lazy or not entry.lazy) and entry.target != module
        }
        for module in MODULES
    }
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in finished:
            for target in sorted(graph[module]):
                visit(target, (*path, module))
            finished.add(module)

    for module in MODULES:
        visit(module, ())


def test_packages_do_nothing_when_imported():
    """An `__init__` holds a docstring; the top one loads names lazily, that of the worlds registers environments, and
    that of the audit makes it callable."""
    for module in MODULES:
        path = file_of(module)
        if path.name == "__init__.py" and module not in ("equiwm", "equiwm.audit", "equiwm.worlds"):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert all(isinstance(node, ast.Expr) for node in body), module


# What importing costs


def imported(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_light_rooms_do_not_import_torch():
    modules = [module for module in MODULES if room(module) in ROOMS_WITHOUT_TORCH and "." in module]
    heavy = {"torch", "pymunk", "gymnasium"}
    assert not imported("import equiwm, equiwm.cli.app\n" + "\n".join(f"import {name}" for name in modules)) & heavy


def test_the_command_line_starts_light():
    """`equiwm --help` in under half a second: nothing heavy before a command needs it."""
    heavy = {"torch", "numpy", "scipy", "pandas", "matplotlib", "gymnasium", "pymunk", "joblib"}
    assert not imported("import equiwm.cli.app") & heavy
    assert not imported("import equiwm.cli.main") & {*heavy, "yaml", "rich", "typer"}, "signals come first"
    assert not imported("import equiwm") & {*heavy, "yaml", "rich", "typer"}


# Public names


def test_public_names_resolve():
    for name in equiwm.__all__:
        value = getattr(equiwm, name)
        assert inspect.getdoc(value), name
        assert value.__name__.removeprefix("equiwm.") == name  # of a package that is called the whole
    assert set(equiwm.__all__) <= set(dir(equiwm))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        equiwm.nothing  # noqa: B018


def test_star_import_is_what_all_says():
    namespace: dict[str, object] = {}
    exec("from equiwm import *", namespace)
    assert set(equiwm.__all__) == {name for name in namespace if not name.startswith("__")}


def public(module: str) -> Iterator[str]:
    """Every public function, class and method that a module defines, dotted."""
    for node in ast.parse(file_of(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
            for part in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                    yield f"{node.name}.{part.name}"


def test_public_names_say_what_they_are():
    """Each has a docstring, its own or that of the base class's method; so has each module."""
    missing = []
    for module in MODULES:
        try:
            loaded = importlib.import_module(module)
        except ImportError as error:  # an optional extra that is not installed
            if (error.name or "").startswith("equiwm"):
                raise
            continue
        if not loaded.__doc__:
            missing.append(module)
        for name in public(module):
            value: object = loaded
            for part in name.split("."):
                value = getattr(value, part)
            if not inspect.getdoc(value):
                missing.append(f"{module}.{name}")
    assert missing == []
