"""Nothing is removed or replaced but what equiwm made: markers, stores, locks, drafts, documents, links."""

from __future__ import annotations

import ast
import errno
import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import equiwm
from equiwm.claims.store import Stores
from equiwm.cli.main import run as command
from equiwm.disk import drafts, locks, ownership
from equiwm.disk.documents import write_document
from equiwm.disk.drafts import draft_of, is_stale, remove_stale
from equiwm.disk.files import write_atomic
from equiwm.disk.inside import read_inside, require_component
from equiwm.disk.locks import hold
from equiwm.disk.ownership import is_run, link_inside, make_folder, marker_of, remove_file, remove_folder
from equiwm.errors import RunError
from equiwm.figures.canvas import open_folder
from equiwm.fsck.drafts import stale_drafts
from equiwm.runs import Run
from equiwm.training.run import refused_whole

ROOT = Path(equiwm.__file__).parent
REFERENCE = ROOT.parent / "runs" / "reference"
SURROGATE = os.fsdecode(b"runs\xff")


# Who may remove

REMOVERS = {"unlink", "rmdir", "rmtree", "removedirs", "renames", "link", "symlink", "truncate", "ftruncate"}
"""Names of functions that take a file away, or put one in a place, whatever object they are called on."""
REMOVERS_OF_OS = {"remove", "replace", "rename", "move"}
"""Those which other objects than `os` and `shutil` have as well: strings, lists, data frames."""
ALLOWED = {"trust.py:os.link"}
"""The user's key is linked into its place, so that of two processes the first one's stays: nothing is replaced."""


def removals(path: Path) -> set[str]:
    """The calls in a module that remove or replace files; of names that are imported as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
            found |= {f"from {node.module} import {alias.name}" for alias in node.names if alias.name != "PathLike"}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            found.add("open")
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, name = node.func.value, node.func.attr
        of_os = isinstance(owner, ast.Name) and owner.id in ("os", "shutil")
        # Path.rename and Path.replace take one path; str.replace takes two, pandas' rename a constant or keywords.
        of_path = name in ("rename", "replace") and len(node.args) == 1 and not isinstance(node.args[0], ast.Constant)
        given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        modes = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        opens = name == "open" and any(re.fullmatch(r"[rwaxbt+]*[wax+][rwaxbt+]*", mode) for mode in modes)
        writes = opens or name in ("write_text", "write_bytes", "touch")
        if name in REMOVERS or writes or (of_os and name in REMOVERS_OF_OS) or (of_path and not node.keywords):
            found.add(f"{ast.unparse(node.func)}")
    return found


def test_only_the_room_of_files_removes_and_replaces():
    found = {
        f"{path.relative_to(ROOT)}:{name}"
        for path in ROOT.rglob("*.py")
        if path.parent.name != "disk"
        for name in removals(path)
    }
    assert found <= ALLOWED, sorted(found - ALLOWED)


def test_the_test_sees_every_way(tmp_path):
    seen = ["os.unlink(a)", "a.unlink()", "shutil.rmtree(a)", "a.replace(b)", "os.rename(a, b)", "a.write_text('')"]
    seen += ["a.open('wb')", "b.open(mode='x')", "open(a)"]
    plain = [
        "text.replace('a', 'b')",
        "frame.rename('x')",
        "names.remove(a)",
        "replace(a, b=c)",
        "a.open('rb')",
        "a.open()",
    ]
    code = "\n".join([*seen, "from os import remove", *plain])
    (tmp_path / "x.py").write_text(code)
    assert len(removals(tmp_path / "x.py")) == len(seen) + 1


# Markers


def test_a_run_carries_the_marker(tmp_path):
    run = Run.create(tmp_path, "mine", {}, seed=0)
    assert json.loads((run.path / ".equiwm").read_text()) == {"kind": "run", "schema": 1}
    assert marker_of(run.path) == "run"
    assert is_run(run.path)
    assert not is_run(tmp_path)


def test_a_run_without_marker_is_known_by_its_config_and_never_removed(tmp_path):
    assert marker_of(REFERENCE) is None
    assert is_run(REFERENCE)
    run = Run.create(tmp_path, "old", {}, seed=0)
    (run.path / ".equiwm").unlink()
    assert is_run(run.path)
    run.discard_untrained()
    assert run.config_path.is_file()


def test_what_is_in_a_run_keeps_it(tmp_path):
    run = Run.create(tmp_path, "mine", {}, seed=0)
    (run.path / "notes.md").write_text("years of work")
    run.discard_untrained()
    assert (run.path / "notes.md").is_file()
    assert run.config_path.is_file()
    (run.path / "notes.md").unlink()
    run.discard_untrained()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "marker", ["", "{", "[]", '{"kind": "run", "schema": 1}', '{"kind": "store", "schema": 2}', '{"kind": {}}']
)
def test_a_folder_of_another_marker_is_left_alone(tmp_path, marker):
    folder = tmp_path / "closed_loop"
    folder.mkdir()
    (folder / ".equiwm").write_text(marker)
    assert remove_folder(folder, "store") == folder
    assert (folder / ".equiwm").is_file()


def test_a_store_that_is_half_removed_is_still_known_for_ours(tmp_path, monkeypatch):
    """And the next command removes the rest."""
    make_folder(tmp_path / "store", "store")
    for name in "abcde":
        (tmp_path / "store" / name).write_text("")
    unlink = os.unlink

    def failing(path, *arguments, **options):
        if os.path.basename(path) == "c":
            raise OSError(errno.EIO, "Input/output error")
        unlink(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", failing)
        said = remove_folder(tmp_path / "store", "store")
    (left,) = tmp_path.iterdir()
    assert left == said
    assert marker_of(left) == "store"
    left = left.rename(tmp_path / left.name.replace(f".{os.getpid()}-", f".{_dead()}-"))
    assert list(stale_drafts(tmp_path)) == [left]
    remove_stale(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_link_is_found_where_it_leaves_a_run(tmp_path):
    study = Run.create(tmp_path / "real", "study", {"study": {}}, seed=0, kind="study")
    other = Run.create(tmp_path / "real", "other", {}, seed=0)
    (tmp_path / "runs").symlink_to(tmp_path / "real")
    (tmp_path / "alias").symlink_to(study.path)
    for named in (tmp_path / "runs" / "study", tmp_path / "alias", study.path):
        assert link_inside(named / "cells" / "C" / "cells") is None
    (study.path / "cells").symlink_to(other.path)  # a run is no way out of a run
    for named in (tmp_path / "runs" / "study", tmp_path / "alias", study.path):
        assert link_inside(named / "cells" / "C" / "cells") == named / "cells"
        assert link_inside(named / "cells") == named / "cells"
    assert link_inside(tmp_path / "runs" / "nothing") is None


def test_a_link_to_a_store_is_not_followed(tmp_path):
    make_folder(tmp_path / "store", "store")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    assert remove_folder(tmp_path / "link", "store") == tmp_path / "link"
    (tmp_path / "store" / "out").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("")
    assert remove_folder(tmp_path / "store", "store") is None
    assert sorted(os.listdir(tmp_path)) == ["link", "precious"]
    assert os.listdir(tmp_path / "precious") == ["file"]


def test_only_plain_files_are_removed(tmp_path):
    remove_file(tmp_path / "none")
    (tmp_path / "file").write_text("")
    (tmp_path / "resume.pt").symlink_to(tmp_path / "file")
    with pytest.raises(RunError, match="not a plain file"):
        remove_file(tmp_path / "resume.pt")
    remove_file(tmp_path / "file")
    assert os.listdir(tmp_path) == ["resume.pt"]


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_no_write_takes_the_place_of_what_is_no_plain_file(tmp_path, kind):
    path = tmp_path / "metrics.json"
    if kind == "link":
        path.symlink_to("elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    before = path.lstat()
    with pytest.raises(RunError, match="never replaced"):
        write_atomic(path, "x")
    assert path.lstat() == before
    assert os.listdir(tmp_path) == ["metrics.json"]


# Stores


def interrupted(folder: Path, definition: dict[str, object]) -> None:
    """A command that is interrupted after it has finished something."""
    with Stores(folder) as stores:
        (stores.open(definition) / "finished").write_text("")
        raise KeyboardInterrupt


def test_the_same_command_goes_on_with_its_store_and_another_has_another(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "loop", {"tasks": 8})
    with Stores(tmp_path / "loop") as small:
        other = small.open({"tasks": 2})
        assert not (other / "finished").exists()
        (other / "finished").write_text("")
        small.remove()
        assert not other.exists()
    with Stores(tmp_path / "loop") as again:
        assert (again.open({"tasks": 8}) / "finished").is_file()
        again.remove()
        assert os.listdir(tmp_path) == []


def test_a_store_belongs_to_one_command_at_a_time(tmp_path):
    with Stores(tmp_path / "loop") as first:
        (first.open({"tasks": 8}) / "finished").write_text("")
        with Stores(tmp_path / "loop") as second, pytest.raises(RunError, match=f"in use by process {os.getpid()} on "):
            second.open({"tasks": 8})
        assert len(list((tmp_path / "loop").glob("*/finished"))) == 1


def test_a_folder_of_the_user_s_stays(tmp_path):
    (tmp_path / "closed_loop").mkdir()
    (tmp_path / "closed_loop" / "thesis.tex").write_text("years of work")
    with Stores(tmp_path / "closed_loop") as stores:
        (stores.open({}) / "finished").write_text("")
        stores.remove()
    assert os.listdir(tmp_path / "closed_loop") == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    with Stores(tmp_path / "empty") as stores:
        stores.open({})
    assert os.listdir(tmp_path / "empty") == []


def test_what_is_refused_before_any_work_leaves_nothing(tmp_path):
    with Stores(tmp_path / "new" / "loop") as stores:
        stores.open({})
        assert len(list((tmp_path / "new" / "loop").iterdir())) == 2
    assert os.listdir(tmp_path) == []


def test_a_run_that_another_process_trains_is_not_taken_back(tmp_path):
    """Of two that resume what is not there yet, one makes the run and the other may be the first to lock it."""
    run = Run.create(tmp_path, "run", {}, seed=0)
    with run.lock(), pytest.raises(RunError, match="in use"), refused_whole(run, made=True), run.lock():
        raise AssertionError("it is locked already")
    assert run.config_path.is_file()
    assert run.lock_path.is_file()
    with pytest.raises(RunError, match="refused"), refused_whole(run, made=True):
        raise RunError("refused")
    assert not run.path.exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_in_the_way_of_stores_is_refused(tmp_path, kind):
    (tmp_path / "elsewhere").mkdir()
    if kind == "file":
        (tmp_path / "loop").write_text("mine")
    else:
        (tmp_path / "loop").symlink_to(tmp_path / "elsewhere")
    with Stores(tmp_path / "loop") as stores, pytest.raises(RunError, match="in the way"):
        stores.open({})
    assert os.listdir(tmp_path / "elsewhere") == []
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "loop"]


def test_a_store_that_cannot_be_removed_is_named_by_where_it_is(tmp_path, monkeypatch):
    """What is left has the name of a draft by then, not the store's."""
    unlink = os.unlink

    def failing(path, *arguments, **options):
        if os.path.basename(path) == "finished":
            raise OSError(errno.EIO, "Input/output error")
        unlink(path, *arguments, **options)

    with Stores(tmp_path / "loop") as stores, monkeypatch.context() as patch:
        store = stores.open({})
        (store / "finished").write_text("")
        patch.setattr(os, "unlink", failing)
        (left,) = stores.remove()
    assert left.is_dir()
    assert not store.exists()
    assert sorted(os.listdir(tmp_path / "loop")) == sorted([".equiwm", left.name])


CALLS = ("mkdir", "rename", "replace", "rmdir", "unlink", "open", "stat", "lstat", "scandir", "listdir")
"""Calls of the system between which another process may come and go."""


class Between:
    """Another command has its store from before the `comes`-th call of the system until before the `goes`-th one."""

    def __init__(self, folder: Path, comes: int, goes: int) -> None:
        self.count, self.comes, self.goes = 0, comes, goes
        self.stores, self.busy = Stores(folder), False
        self._step()

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        for name in CALLS:
            patch.setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments, **options):
            if not self.busy:  # what the other one calls is no moment of this one
                self.count += 1
                self.busy = True
                self._step()
                self.busy = False
            return real(*arguments, **options)

        for functions in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if real in functions:
                functions.add(call)
        return call

    def _step(self) -> None:
        at = self.count
        if at == self.comes:
            (self.stores.open({"command": "other"}) / "finished").write_text("")
        if at == self.goes:
            self.end()

    def end(self) -> None:
        assert self.stores.remove() == []
        self.stores.__exit__(None, None, None)


NEVER, STAY = 10**9, 6


def test_another_command_comes_and_goes_at_any_moment(tmp_path, monkeypatch):
    """It is there all the time, from or up to any moment, or for a while: to each call of the system its turn."""
    calls = _beside(tmp_path / "alone", NEVER, NEVER, monkeypatch)
    assert calls > 20
    moments = range(1, calls + 1)
    stays = [(0, goes) for goes in (*moments, NEVER)] + [(comes, NEVER) for comes in moments]
    stays += [(comes, goes) for comes in moments for goes in range(comes, comes + STAY)]
    for comes, goes in stays:
        _beside(tmp_path / f"{comes}-{goes}", comes, goes, monkeypatch)


def _beside(place: Path, comes: int, goes: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """A command, and another one beside it; gives how many calls it takes."""
    place.mkdir()
    other = Between(place / "loop", comes, goes)
    with monkeypatch.context() as patch:
        other.watch(patch)
        with Stores(place / "loop") as stores:
            mine = stores.open({"command": "mine"})
            (mine / "finished").write_text("")
            assert marker_of(mine) == "store", (comes, goes)
            assert stores.remove() == [], (comes, goes)
    if comes < NEVER <= goes:
        assert marker_of(place / "loop") == "stores", (comes, goes)
    other.end()
    assert os.listdir(place) == [], (comes, goes)
    return other.count


def _work(folder: Path, number: int) -> None:
    for _ in range(20):
        with Stores(folder) as stores:
            (stores.open({"worker": number}) / "finished").write_text("")
            stores.remove()


def test_commands_that_end_together_lose_nothing_and_leave_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work, args=(tmp_path / "loop", number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    with Stores(tmp_path / "loop") as stores:
        stores.open({})
        stores.remove()
    assert os.listdir(tmp_path) == []


# Locks


def test_a_lock_says_who_holds_it_and_nothing_afterwards(tmp_path):
    path = tmp_path / ".lock"
    with hold(path, "the grid"):
        said = json.loads(path.read_text())
        assert said["pid"] == os.getpid()
        with pytest.raises(RunError) as error, hold(path, "the grid"):
            pass
        assert str(error.value).startswith(f"the grid is in use by process {os.getpid()} on {said['host']} (since 2")
    assert path.read_text() == ""


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"pid": 1}', '{"pid": 1, "host": "\\u001b[2J", "since": ""}', "[" * 900]
)
def test_a_lock_that_says_nonsense_is_a_lock(tmp_path, text):
    path = tmp_path / ".lock"
    with hold(path, "the grid"):
        path.write_text(text)
        with pytest.raises(RunError, match="in use by another process"), hold(path, "the grid"):
            pass


def test_what_a_dead_process_wrote_into_a_lock_holds_nobody_up(tmp_path):
    code = (
        "import os, pathlib\nfrom equiwm.disk.locks import hold\n"
        f"with hold(pathlib.Path({str(tmp_path)!r}) / 'x', 'x'): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (tmp_path / "x").read_text() != ""
    with hold(tmp_path / "x", "x"):
        pass


def test_a_lock_file_that_was_moved_away_holds_nothing(tmp_path, monkeypatch):
    """As a store vanishes when its owner has finished: who waited for its lock has none of the new store."""
    store = tmp_path / "store"
    store.mkdir()
    (store / ".lock").write_text("")
    acquire = locks.FileLock.acquire

    def moved(self, *options):
        acquire(self, *options)
        store.rename(tmp_path / "gone")
        store.mkdir()
        (store / ".lock").write_text("")

    monkeypatch.setattr(locks.FileLock, "acquire", moved)
    with pytest.raises(RunError, match="has just ended"), hold(store / ".lock", "the store"):
        pass
    monkeypatch.undo()
    with hold(store / ".lock", "the store"):
        pass


def test_what_the_holder_of_a_lock_raises_is_its_own(tmp_path):
    with pytest.raises(OSError, match="mine"), hold(tmp_path / ".lock", "x"):
        raise OSError("mine")
    with hold(tmp_path / ".lock", "x"):
        pass


def test_a_lock_is_no_link(tmp_path):
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(RunError, match="cannot lock"), hold(tmp_path / ".lock", "x"):
        pass
    assert (tmp_path / "precious").read_text() == "years of work"


# Drafts


def _dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def stale_draft(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The name that a process which has ended had for a draft of `path`."""
    with monkeypatch.context() as patch:
        patch.setattr(drafts.os, "getpid", _dead)
        return draft_of(path)


def test_drafts_of_dead_processes_of_this_machine_alone_are_stale(tmp_path, monkeypatch):
    dead = stale_draft(tmp_path / "metrics.json", monkeypatch)
    assert is_stale(dead.name)
    assert not is_stale(draft_of(tmp_path / "metrics.json").name)
    assert not is_stale(dead.name.replace(drafts._host(), "00000000"))  # another machine's
    for name in (f".metrics.json.{_dead()}-0123abcd.tmp", ".x.tmp", "metrics.json", f"{dead.name}x", dead.name[1:]):
        assert not is_stale(name)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux says which process is a zombie")
def test_a_process_that_nobody_has_waited_for_is_dead(tmp_path):
    """Killed with its parent, a worker stays in the table of processes until init looks."""
    import subprocess

    ended = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    name = draft_of(tmp_path / "metrics.json").name.replace(f".{os.getpid()}-", f".{ended.pid}-")
    assert not is_stale(name)
    ended.kill()
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert is_stale(name)
    finally:
        ended.communicate()


def test_stale_drafts_are_removed_and_nothing_else(tmp_path, monkeypatch):
    stale = [stale_draft(tmp_path / name, monkeypatch) for name in ("metrics.json", "run", "empty", "mine", "link")]
    stale[0].write_text("half")
    make_folder(stale[1], "run", {"config.yaml": ""})
    stale[2].mkdir()
    stale[3].mkdir()
    (stale[3] / "thesis.tex").write_text("years of work")
    stale[4].symlink_to(tmp_path)
    (tmp_path / "metrics.json").write_text("whole")
    running = draft_of(tmp_path / "metrics.json")
    running.write_text("half")
    remove_stale(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(["metrics.json", running.name, stale[3].name, stale[4].name])


KILLED = """
import os, pathlib, signal, sys
from equiwm.disk import files
real = os.replace
def kill(*_): os.kill(os.getpid(), signal.SIGKILL)
from equiwm.runs import Run
folder = pathlib.Path(sys.argv[1])
os.rename = kill if sys.argv[2] == "create" else os.rename
run = Run.create(folder, "r", {}, seed=0)
os.replace = kill
run.record("rollout", None, {"x": 1})
"""


@pytest.mark.parametrize("where", ["create", "record"])
def test_the_next_command_removes_what_a_killed_one_left(tmp_path, where):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), where], check=False)
    assert done.returncode == -9
    assert list(tmp_path.rglob("*.tmp"))
    if where == "create":
        Run.create(tmp_path, "other", {}, seed=0)
    else:
        Run(tmp_path / "r").record("sweep_group", None, {"x": 1})
    assert not list(tmp_path.rglob("*.tmp"))


def test_figures_and_documents_and_grids_leave_no_stale_drafts(tmp_path, monkeypatch):
    draft = stale_draft(tmp_path / "sweep.png", monkeypatch)
    draft.write_text("")
    open_folder(tmp_path, "rollout")
    assert not draft.exists()
    draft.write_text("")
    write_document(tmp_path / "table.md", "x")
    assert not draft.exists()


# Documents


def test_a_document_replaces_a_plain_file(tmp_path):
    path = tmp_path / "table.md"
    for text in ("one", "ü"):
        write_document(path, text)
        assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", ["metrics.json", "config.yaml", "checkpoint.pt", "resume.pt", "data.pt"])
def test_a_document_never_replaces_a_run_s_file_wherever_it_is(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(RunError, match="cannot write"):
        write_document(tmp_path / name, "x")
    assert (tmp_path / name).read_text() == "{}"


@pytest.mark.parametrize(
    "name",
    ["checkpoint.pt", "history.csv", "summary.txt", "rows.csv", ".equiwm", ".train.lock", "figures/a.svg", "cells/a/b"],
)
@pytest.mark.parametrize("marked", [True, False])
def test_a_document_takes_no_name_of_a_run_s_in_it(tmp_path, name, marked):
    run = Run.create(tmp_path, "r", {}, seed=0)
    path = run.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not marked:
        (run.path / ".equiwm").unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match="belongs to the"):
        write_document(path, "x")
    assert sorted(tmp_path.rglob("*")) == before
    for mine in ("table.md", "figures/page.html"):
        write_document(run.path.joinpath(mine) if mine == "table.md" else run.path / "table.html", "x")


def test_a_link_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("mine")
    for target in ("file", "nowhere", "/dev/null"):
        link = tmp_path / f"link-{target.replace('/', '-')}"
        link.symlink_to(target)
        with pytest.raises(RunError, match=f"{link.name}: it is a symbolic link"):
            write_document(link, "x")
        assert link.is_symlink()
    assert (tmp_path / "file").read_text() == "mine"


def test_devices_and_pipes_are_written_through(tmp_path):
    before = os.stat("/dev/null")
    write_document(Path("/dev/null"), "x")
    assert os.stat("/dev/null").st_rdev == before.st_rdev
    with pytest.raises(RunError, match="No space left"):
        write_document(Path("/dev/full"), "x")
    os.mkfifo(tmp_path / "pipe")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_document(tmp_path / "pipe", "table")
    reader.join()
    assert got == ["table"]
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_stream_gets_the_document_after_what_it_has(tmp_path, place):
    code = (
        "import pathlib\nfrom equiwm.disk.documents import write_document\n"
        f"write_document(pathlib.Path({place!r}), 'table')"
    )
    with (tmp_path / "log").open("w") as log:
        log.write("before ")
        log.flush()
        subprocess.run([sys.executable, "-c", code], stdout=log, check=True)
    assert (tmp_path / "log").read_text() == "before table"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "table"


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match="a folder"):
        write_document(tmp_path, "x")
    with pytest.raises(RunError, match="cannot write"):
        write_document(tmp_path / "none" / "x", "x")
    with pytest.raises(RunError, match="Bad file descriptor"):
        write_document(Path("/dev/fd/999"), "x")


# What others hand you


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/x", "a\\b", "a\nb", "\x1b[2J", "\u202efdp", "a\0"]
)
def test_a_name_is_one_printable_component(tmp_path, name):
    with pytest.raises(RunError, match="expected one printable component"):
        require_component(name)
    with pytest.raises(RunError):
        open_folder(tmp_path / "new", name)
    assert os.listdir(tmp_path) == []


def test_no_figure_is_drawn_out_of_a_run(tmp_path):
    run = Run.create(tmp_path, "r", {}, seed=0)
    (tmp_path / "elsewhere").mkdir()
    run.figures.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="a link out of the run"):
        open_folder(run.figures, "sweep")
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")
    open_folder(tmp_path / "mine", "sweep")


def test_nothing_is_read_through_a_link_or_from_what_is_no_file(tmp_path):
    run = tmp_path / "run"
    (run / "figures").mkdir(parents=True)
    (run / "figures" / "a.svg").write_text("<svg/>")
    (tmp_path / "alias").symlink_to(run)
    assert read_inside(tmp_path / "alias", "figures", "a.svg", limit=6) == b"<svg/>"
    (run / "linked").symlink_to(run / "figures")
    (run / "figures" / "key.svg").symlink_to("/etc/passwd")
    os.mkfifo(run / "figures" / "pipe.svg")
    for parts in (("linked", "a.svg"), ("figures", "key.svg"), ("figures", "pipe.svg"), ("figures",), ("..", "x")):
        with pytest.raises(RunError):
            read_inside(run, *parts, limit=6)
    with pytest.raises(RunError, match="expected at most 5"):
        read_inside(run, "figures", "a.svg", limit=5)
    with pytest.raises(FileNotFoundError):
        read_inside(run, "figures", "b.svg", limit=5)


def test_names_that_are_no_text_are_refused_before_anything_is_made(tmp_path):
    with pytest.raises(RunError, match=r"runs\\udcff.* is not valid UTF-8"):
        Run.create(tmp_path / SURROGATE, "r", {}, seed=0)
    with pytest.raises(RunError, match="is not valid UTF-8"):
        Run.create(tmp_path, "r", {}, seed=0, command=["equiwm", "train", "--config", SURROGATE])
    with Stores(tmp_path / SURROGATE) as stores, pytest.raises(RunError, match="is not valid UTF-8"):
        stores.open({})
    assert os.listdir(tmp_path) == []


def test_a_command_line_that_is_no_text_makes_no_run(tmp_path, capsys):
    assert command(["train", "--out", str(tmp_path / SURROGATE)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_filled_leaves_nothing(tmp_path, monkeypatch):
    def full(path, content):
        raise RunError("No space left on device.")

    monkeypatch.setattr(ownership, "write_atomic", full)
    with pytest.raises(RunError, match="No space"):
        make_folder(tmp_path / "a" / "b", "store")
    assert os.listdir(tmp_path) == []
