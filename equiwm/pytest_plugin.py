"""The pytest plugin: functions that return a `Probe`, and folders of them, are tests.

    @pytest.mark.equiwm_probe(expect="exact")
    def my_network():
        return equiwm.Probe(...)

The marker on a module or a class sets options of those inside that have it too.

A file in a folder `probes` (another name or path by the ini option `equiwm_probes`) that says `equiwm` anywhere needs
no marker: its values that are probes are tests, and so are its own public functions without defaults that return one.
Each is audited; a failure is told in the words of `equiwm audit`. Nothing of torch is imported before a probe runs.
"""

from __future__ import annotations

import fnmatch
import inspect
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

MARKER = "equiwm_probe"
FOLDERS = "equiwm_probes"
OPTIONS = ("expect", "elements", "seed")
WIDTH = 80


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini option that names folders of probes."""
    parser.addini(
        FOLDERS, "folders whose files hold probes, by name or by path from the root", "args", default=["probes"]
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    told = f"{MARKER}(expect, elements, seed): what the function returns is a Probe, and is audited (equiwm)"
    config.addinivalue_line("markers", told)


# Collecting


class ProbeModule(pytest.Module):
    """A file of probes."""

    def istestfunction(self, obj: object, name: str) -> bool:
        """Tests as in every file, and functions that return a probe."""
        return super().istestfunction(obj, name) or self.gives_probe(obj, name)

    def gives_probe(self, obj: object, name: str) -> bool:
        """Whether it is a public function of this file, without defaults, that may return a probe."""
        if name.startswith("_") or not inspect.isfunction(obj) or obj.__module__ != self.obj.__name__:
            return False
        signature = inspect.signature(obj)
        told = signature.return_annotation
        name_of_told = told if isinstance(told, str) else getattr(told, "__name__", "")
        free = all(each.default is inspect.Parameter.empty for each in signature.parameters.values())
        fits = told is inspect.Signature.empty or name_of_told.rpartition(".")[2].strip("'\"") == "Probe"
        return free and fits and not super().istestfunction(obj, name)


def _in_folder(path: Path, config: pytest.Config) -> bool:
    """Whether a file lies in a folder of probes, and is no test file or part of the machinery."""
    if path.suffix != ".py" or path.name.startswith("_") or path.name == "conftest.py":
        return False
    if any(fnmatch.fnmatch(path.name, pattern) for pattern in config.getini("python_files")):
        return False
    named = [str(name).rstrip("/") for name in config.getini(FOLDERS)]
    whole = [config.rootpath / name for name in named]
    return any(folder.name in named or folder in whole for folder in path.parents) and _names_us(path)


def _names_us(path: Path) -> bool:
    """Whether a file says `equiwm`: other packages have folders of that name too, and their files are not run."""
    try:
        return b"equiwm" in path.read_bytes()
    except OSError:
        return False


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The files of a folder of probes, whatever they are called."""
    if not _in_folder(file_path, parent.config) or parent.session.isinitpath(file_path):  # those pytest asks for itself
        return None
    found: pytest.Collector | None = parent.ihook.pytest_pycollect_makemodule(module_path=file_path, parent=parent)
    return found


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """A file of probes as one."""
    return ProbeModule.from_parent(parent, path=module_path) if _in_folder(module_path, parent.config) else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> pytest.Item | None:
    """Values that are probes; functions with the marker are tests by any name."""
    if isinstance(collector, ProbeModule) and not name.startswith("_") and _is_probe(obj):
        return ProbeValue.from_parent(collector, name=name, callobj=lambda: obj)
    marks: Iterable[Any] = getattr(obj, "pytestmark", ()) if inspect.isfunction(obj) else ()
    if any(mark.name == MARKER for mark in marks) and not hasattr(obj, "__test__"):
        obj.__test__ = True  # type: ignore[attr-defined]  # which pytest looks for
    return None


class ProbeValue(pytest.Function):
    """A probe that stands in a file as a value."""

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The file that it stands in."""
        return self.path, None, self.name


def pytest_itemcollected(item: pytest.Item) -> None:
    """Probes of a folder carry the marker too, and can be chosen by it."""
    module = item.getparent(ProbeModule)
    if module is None or not isinstance(item, pytest.Function) or _is_marked(item):
        return
    if isinstance(item, ProbeValue) or module.gives_probe(item.function, item.originalname):
        item.add_marker(MARKER)


def _is_marked(item: pytest.Item) -> bool:
    """Whether the test itself has the marker; that of a module or class only sets options."""
    return any(mark.name == MARKER for mark in item.own_markers)


def _is_probe(value: object) -> bool:
    """Whether it is a Probe; where their module is not imported nothing is."""
    module = sys.modules.get("equiwm.audit.probe")
    return module is not None and isinstance(value, module.Probe)


# Running


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Audit what a function with the marker returns."""
    if not _is_marked(pyfuncitem):
        return None
    options = _options(pyfuncitem)
    wanted = inspect.signature(pyfuncitem.obj).parameters
    found = pyfuncitem.obj(**{name: value for name, value in pyfuncitem.funcargs.items() if name in wanted})

    from equiwm.errors import EquiwmError
    from equiwm.testing import assert_equivariant

    if not _is_probe(found):
        pytest.fail(f"{pyfuncitem.name} returned {type(found).__name__}, expected an equiwm.Probe.", pytrace=False)
    failure = ""
    try:
        result = assert_equivariant(found, **options)
        pyfuncitem.user_properties.append(("equiwm_verdict", result.verdict))
    except AssertionError as error:
        failure = str(error)
    except EquiwmError as error:
        failure = f"it could not be audited: {error}"
    if failure:  # out of the handler, whose exception would be told as well
        pytest.fail(_wrapped(failure), pytrace=False)
    return True


def _options(item: pytest.Function) -> dict[str, Any]:
    """What the markers say, the closest one last."""
    found: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers(MARKER))):
        wrong = [*map(repr, mark.args), *(name for name in mark.kwargs if name not in OPTIONS)]
        if wrong:
            pytest.fail(f"{MARKER} takes {', '.join(OPTIONS)} by name; got {', '.join(wrong)}.", pytrace=False)
        found |= mark.kwargs
    return found


def _wrapped(text: str) -> str:
    """Lines of a terminal."""
    lines = text.splitlines()
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False) for line in lines)
