"""`equiwm audit FOLDER --table FILE`: every probe of a folder in a process of its own, and one document of them all."""

from __future__ import annotations

import ast
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from equiwm.errors import ConfigError, EquiwmError
from equiwm.printable import printable

if TYPE_CHECKING:
    from equiwm.report.networks import Audited

_MISSING = re.compile(r"No module named '([\w.]+)'|needs [\w.-]+: pip install '?([\w.\[\]-]+)")
_STREAM = re.compile(r"/dev/|/proc/self/fd/")


@dataclass(frozen=True)
class ProbeFile:
    """What a file says of its probes, read without importing it.

    Attributes:
        path: of the file.
        probes: names at its top level that are `probe` or begin with `probe_`.
        title: first line of its docstring.
        claims: its constant CLAIMS.
        packages: its constant PACKAGES, as they are installed.
        note: its constant NOTE.
        failure: why it cannot be read.
    """

    path: Path
    probes: tuple[str, ...] = ()
    title: str = ""
    claims: str = ""
    packages: tuple[str, ...] = ()
    note: str = ""
    failure: str = ""


def read_probe_file(path: Path) -> ProbeFile:
    """What a file says of its probes."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        return ProbeFile(path, failure=f"it cannot be read: {type(error).__name__}{where}")
    said: dict[str, object] = {}
    names = []
    for node in tree.body:
        targets = [node.name] if isinstance(node, ast.FunctionDef) else []
        if isinstance(node, ast.Assign):
            targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if targets and targets[0] in ("CLAIMS", "PACKAGES", "NOTE"):
                said[targets[0]] = _literal(node.value)
        names += [name for name in targets if name == "probe" or name.startswith("probe_")]
    packages = said.get("PACKAGES", ())
    return ProbeFile(
        path,
        tuple(dict.fromkeys(names)),
        (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " "),
        _text(said.get("CLAIMS")),
        tuple(str(each) for each in ((packages,) if isinstance(packages, str) else packages or ())),  # type: ignore[attr-defined]
        _text(said.get("NOTE")),
    )


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _text(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def probe_files(folder: Path) -> list[ProbeFile]:
    """The files of a folder that have probes, by name; those that cannot be read too.

    Raises:
        ConfigError: there is none.
    """
    found = [read_probe_file(path) for path in sorted(folder.glob("*.py"))]
    kept = [file for file in found if file.probes or file.failure]
    if not kept:
        raise ConfigError(
            f"{folder} has no probes: expected files of Python with a function called probe, or probe_NAME."
        )
    return kept


def audit_folder(folder: Path, table: Path, options: Sequence[str], command: str, jobs: int = 1) -> list[Audited]:
    """Audit every probe and write the document.

    A probe whose package is missing is skipped, one that fails is told in its place, and the others go on.

    Args:
        folder: of the probe files.
        table: where the document goes.
        options: of every audit.
        command: what the document says that it was made by.
        jobs: how many processes at a time; -1 is one a core.

    Returns:
        What became of each.

    Raises:
        ConfigError: no probes, or no folder.
        RunError: the document cannot be written there.
    """
    from equiwm.cli.output import say
    from equiwm.disk.documents import write_document
    from equiwm.disk.files import require_replaceable
    from equiwm.report.networks import document

    if not folder.is_dir():
        raise ConfigError(f"--table: {folder} is no folder; give one with probe files.")
    streamed = bool(_STREAM.match(str(table)))
    if not streamed:
        if not table.absolute().parent.is_dir():
            raise ConfigError(f"--table: there is no folder {table.parent} to write {table.name} into.")
        if not table.exists() or table.is_file():
            require_replaceable(table)  # before the work, not after it
    asked = [(file, name) for file in probe_files(folder) for name in file.probes or ("",)]
    beside = None if streamed else table.absolute().parent
    entries = []
    with ThreadPoolExecutor(jobs if jobs > 0 else os.cpu_count()) as pool:
        pending = [pool.submit(_audited, file, name, beside, options) for file, name in asked]
        try:
            for number, task in enumerate(pending, 1):
                entry = task.result()
                entries.append(entry)
                said = entry.result.verdict if entry.result else f"skipped, not installed: {', '.join(entry.missing)}"
                say(f"[{number}/{len(asked)}] {entry.name}: {entry.failure or said}")
        except BaseException:  # a Ctrl-C: what runs is ended by it too, and nothing else is begun
            pool.shutdown(cancel_futures=True)
            raise
    versions = [f"equiwm {metadata.version('equiwm')}", f"torch {metadata.version('torch')}"]
    text = document(
        entries,
        title=f"Networks of {folder.as_posix()}, audited",
        command=command,
        versions=[*versions, f"Python {platform.python_version()}"],
    )
    write_document(table, text)
    return entries


def _audited(file: ProbeFile, name: str, beside: Path | None, options: Sequence[str]) -> Audited:
    from equiwm.report.networks import Audited

    installed = {package: _version(package) for package in file.packages}
    entry = Audited(
        name=file.path.stem + (f":{name}" if name not in ("", "probe") else ""),
        link="" if beside is None else Path(os.path.relpath(file.path.absolute(), beside)).as_posix(),
        title=file.title,
        claims=file.claims,
        versions=tuple(f"{package} {version}" for package, version in installed.items() if version),
        note=file.note,
        missing=tuple(package for package, version in installed.items() if not version),
        failure=file.failure,
    )
    return entry if entry.missing or entry.failure else _run(entry, f"{file.path}:{name}", options)


def _version(package: str) -> str:
    """Of an installed package; empty of one that is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _run(entry: Audited, target: str, options: Sequence[str]) -> Audited:
    """The audit of one probe in a process of its own: what it does to this one's memory, or to itself, is its own."""
    from equiwm.audit.result import AuditResult
    from equiwm.results.door import read

    done = subprocess.run(
        [sys.executable, "-P", "-m", "equiwm", "audit", target, "--json", "--symmetries", *options],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode in (0, 1):
        try:
            text = done.stdout[max(0, done.stdout.find("{\n")) :]  # compiled code may have printed before it
            return replace(entry, result=read(AuditResult, json.loads(text), target))
        except (ValueError, EquiwmError) as error:
            return replace(entry, failure=f"its audit cannot be read: {printable(str(error))}")
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    last = said[-1].removeprefix("error: ") if said else f"it ended with status {done.returncode} and no message"
    lacking = _MISSING.search(last)
    if lacking is not None:
        return replace(entry, missing=((lacking[1] or lacking[2]).partition(".")[0],))
    return replace(entry, failure=printable(last))
