"""The cache: nothing wrong is ever read, nothing of others is ever removed, and a training never fails for it."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import session_of
from test_made_in_parts import Swing, same, world_of

import equiwm
from equiwm.cli.main import run as command
from equiwm.config import WorldConfig
from equiwm.disk import cache as disk_cache
from equiwm.disk.cache import LIMIT, Cache, cache_folder, cache_limit, parse_size
from equiwm.disk.columns import ColumnFiles
from equiwm.disk.drafts import draft_of
from equiwm.errors import ConfigError, RunError
from equiwm.schema import setting
from equiwm.symmetry.coverage import Arc
from equiwm.training import data_key, parts
from equiwm.training.data_key import Unknown, described, key_of
from equiwm.training.parts import collected
from equiwm.worlds import scene
from equiwm.worlds.foreign import checked_world
from equiwm.worlds.pusht import world as pusht

N, SMALL_PART = 700, 512
TESTS = Path(__file__).resolve().parent


class Stops(Swing):
    """It fails in its second part."""

    data_files = ()

    def episodes(self, first, count, **options):
        if first:
            raise ValueError("no second part")
        return super().episodes(first, count, **options)


def _forget_modules_of_no_file(monkeypatch) -> None:
    """Other tests of this process have made some, and beside them no world of somebody else's has a key."""
    while True:
        try:
            list(data_key._loaded_elsewhere())
            return
        except data_key.Unknown as found:
            monkeypatch.delitem(sys.modules, str(found))


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """A cache for any data in parts, made by this process alone."""
    folder = tmp_path / "kept"
    monkeypatch.setenv("EQUIWM_CACHE", str(folder))
    monkeypatch.setenv(parts.JOBS_VARIABLE, "1")
    monkeypatch.setattr(parts, "WORTH", 0.0)
    for module in (parts, pusht, scene):
        monkeypatch.setattr(module, "PART", SMALL_PART)
    _forget_modules_of_no_file(monkeypatch)
    # Whoever works on the package while its tests run has younger files than the process.
    monkeypatch.setattr(equiwm, "LOADED_AT", time.time() + 1e6)
    data_key._code.cache_clear()
    yield folder
    data_key._code.cache_clear()


@pytest.fixture(scope="module")
def whole():
    return world_of("vn-2d").transitions(N, seed=3)


def collect(seed: int = 3, n: int = N):
    return collected(world_of("vn-2d"), n, seed=seed)


def entry(folder: Path) -> Path:
    (found,) = (path for path in folder.iterdir() if not path.name.startswith("."))
    return found


def is_mapped(data) -> bool:
    return "kept" in Path("/proc/self/maps").read_text()


def made_parts(monkeypatch) -> list[int]:
    """Which parts are made from now on."""
    made, here = [], parts._made_here

    def counted(world, part, seed):
        made.append(part)
        return here(world, part, seed)

    monkeypatch.setattr(parts, "_made_here", counted)
    return made


# The same bits


@pytest.mark.skipif(sys.platform != "linux", reason="maps are in /proc")
def test_data_are_read_by_memory_map(kept, whole, monkeypatch, caplog):
    assert same(collect(), whole)
    assert sorted(path.name for path in entry(kept).iterdir()) == [
        *(".equiwm", "action", "entry.json", "episode", "next_observation", "observation")
    ]
    made = made_parts(monkeypatch)
    read = collect()
    assert made == [0], "the first part is made again, to be compared"
    assert same(read, whole)
    assert is_mapped(read)
    read.observation[0] = 7.0  # stays in this process
    assert same(collect(), whole)
    assert caplog.text == ""


def test_other_seeds_counts_and_worlds_are_other_entries(kept):
    for data in (collect(), collect(seed=4), collect(n=N + 1)):
        assert len(data) in (N, N + 1)
    assert len(Cache(kept, LIMIT).entries()) == 3


def test_the_cache_can_be_switched_off(kept, monkeypatch):
    monkeypatch.setenv("EQUIWM_CACHE", "off")
    collect()
    assert not kept.exists()


# What is wrong


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _edit(path: Path, **values: object) -> None:
    said = json.loads((path / "entry.json").read_text())
    (path / "entry.json").write_text(json.dumps(said | values))


DAMAGE = {
    "a corrupt chunk": (lambda path: _flip(path / "observation"), "its numbers are not those that were written"),
    "the last rows are gone": (lambda path: os.truncate(path / "action", 100), "it has 100 bytes, expected 11,200"),
    "a column is gone": (lambda path: (path / "episode").unlink(), "No such file"),
    "another version": (lambda path: _edit(path, schema=0), "it is another entry's"),
    "another key": (lambda path: _edit(path, key="0" * 64), "it is another entry's"),
    "no columns": (lambda path: _edit(path, columns={}), "does not hold the data that it is called by"),
    "columns of no kind": (lambda path: _edit(path, columns=[1]), "does not say which columns"),
    "a dtype that is none": (
        lambda path: _edit(path, columns={"action": {"dtype": "object", "shape": [1], "sha256": "0" * 64}}),
        "does not say what the column 'action' holds",
    ),
    "a way out": (lambda path: _edit(path, columns={"../x": {}}), "is no name of a file"),
    "dropped without a count": (lambda path: _edit(path, beside={"excluded": {"wall": "9"}}), "does not hold the data"),
    "no JSON": (lambda path: (path / "entry.json").write_text("{"), "is damaged"),
    "a link": (
        lambda path: (os.rename(path / "action", path.parent / "a"), (path / "action").symlink_to(path.parent / "a")),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_damaged_is_made_again(kept, whole, what, caplog):
    damage, said = DAMAGE[what]
    collect()
    damage(entry(kept))
    assert same(collect(), whole)
    (line,) = caplog.messages
    assert said in line
    assert line.endswith("; the data are made again.")
    caplog.clear()
    assert same(collect(), whole)
    assert caplog.messages == [], "the new entry is whole"


def test_an_entry_of_other_numbers_is_not_used(kept, whole, caplog):
    """Whole in itself, and under the right key: it begins with another part than is made here."""
    collect()
    path = entry(kept)
    other = Cache(kept.with_name("other"), LIMIT)
    columns = {name: np.fromfile(path / name, "int64" if name == "episode" else "float64") for name in parts.COLUMNS}
    shapes = {"observation": (-1, 4, 2), "next_observation": (-1, 4, 2), "action": (-1, 2), "episode": (-1,)}
    columns = {name: column.reshape(shapes[name]) for name, column in columns.items()}
    columns["action"][17] *= 1.0 + 1e-15
    with other.writing(path.name, N) as draft:
        draft.files.add(columns)
        draft.finish("pusht", {"excluded": {}})
    os.rename(path, kept.with_name("gone"))
    os.rename(other.folder / path.name, path)
    assert same(collect(), whole)
    assert "has other data than are made here; the data are made again." in caplog.text


def _no_room(monkeypatch, at: int) -> None:
    add, calls = ColumnFiles.add, []

    def full(self, part):
        calls.append(part)
        if len(calls) == at:
            self._files["observation"].write(b"half of a row")
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, part)

    monkeypatch.setattr(ColumnFiles, "add", full)


def test_a_full_disk_is_said_and_the_data_stay_in_memory(kept, whole, monkeypatch, caplog):
    made = made_parts(monkeypatch)
    _no_room(monkeypatch, 2)
    assert same(collect(), whole)
    assert made == [0, 1], "nothing is made twice"
    assert caplog.messages == [f"data are not kept in {kept} (No space left on device)."]
    assert [path.name for path in kept.iterdir()] == [".equiwm"]


@pytest.mark.parametrize("size", [10, 10_000, 35_000])
def test_files_that_the_system_ends(kept, whole, caplog, size):
    """A real limit: in the marker, in the first part, in the second."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        found = collect()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert same(found, whole)
    (line,) = caplog.messages
    assert line.startswith(f"data are not kept in {kept} (")
    assert "too large" in line or "no file that large" in line
    assert not any(path.name.endswith(".tmp") for path in kept.parent.rglob("*"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_the_end(kept, whole, monkeypatch, caplog, number):
    monkeypatch.setattr(ColumnFiles, "finished", lambda self: (_ for _ in ()).throw(OSError(number, "it fails")))
    assert same(collect(), whole)
    assert caplog.messages == [f"data are not kept in {kept} (it fails)."]


def test_a_folder_that_cannot_be_made(kept, whole, monkeypatch, caplog):
    kept.write_text("a file")
    assert same(collect(), whole)
    assert "cannot use" in caplog.text
    assert kept.read_text() == "a file"


def test_a_folder_of_somebody_is_left_alone(kept, whole, caplog):
    kept.mkdir()
    (kept / "thesis.tex").write_text("years of work")
    assert same(collect(), whole)
    assert "it is no folder that equiwm has made; name a new one with EQUIWM_CACHE." in caplog.text
    assert [path.name for path in kept.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_becomes_the_cache(kept):
    kept.mkdir()
    inode = kept.stat().st_ino
    collect()
    assert kept.stat().st_ino == inode, "it may be a mounted disk"
    assert len(Cache(kept, LIMIT).entries()) == 1


def test_an_error_of_the_world_leaves_no_entry(kept):
    with pytest.raises(ValueError, match="no second part"):
        collected(Stops(), N, seed=0)
    assert [path.name for path in kept.iterdir()] == [".equiwm"]


def test_ctrl_c_leaves_no_entry(kept):
    def struck(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collected(world_of("vn-2d"), N, seed=3, progress=struck)
    assert [path.name for path in kept.iterdir()] == [".equiwm"]


# Two at once


def test_two_that_write_one_entry_both_end_well(kept, whole, monkeypatch, caplog):
    """The second begins and ends while the first is writing."""
    add, began = ColumnFiles.add, []

    def other_first(self, part):
        if not began:
            began.append(True)
            assert same(collect(), whole)
        add(self, part)

    monkeypatch.setattr(ColumnFiles, "add", other_first)
    first = collect()
    assert same(first, whole)
    assert len(Cache(kept, LIMIT).entries()) == 1
    assert not [path for path in kept.iterdir() if path.name.endswith(".tmp")]
    assert same(collect(), whole)
    assert caplog.text == ""


def test_an_entry_that_is_removed_is_read_to_its_end(kept, whole):
    collect()
    read = collect()
    Cache(kept, LIMIT).shrink(0)
    assert Cache(kept, LIMIT).entries() == []
    assert same(read, whole)


SCRIPT = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from equiwm.training import parts
from test_made_in_parts import world_of
parts.WORTH, parts.SHARE = 0.0, 1e-9
parts.collected(world_of("vn-2d"), 10**6, seed=0, progress=lambda done, total: print(done, flush=True))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
@pytest.mark.parametrize("name", ["SIGKILL", pytest.param("SIGINT", marks=pytest.mark.slow)])
def test_nothing_is_left_of_who_is_struck(tmp_path, name):
    import signal

    environment = {**os.environ, "EQUIWM_CACHE": str(tmp_path / "kept"), "EQUIWM_DATA_JOBS": "2"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(TESTS)],
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    while int(process.stdout.readline()) < 10_000:  # others make them
        pass
    assert len(session_of(process.pid)) >= 3
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while session_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert session_of(process.pid) == []
    cache = Cache(tmp_path / "kept", LIMIT)
    assert cache.entries() == []
    left = [path.name for path in cache.folder.iterdir() if path.name != ".equiwm"]
    assert len(left) == (1 if name == "SIGKILL" else 0), left
    cache.shrink(LIMIT)
    assert [path.name for path in cache.folder.iterdir()] == [".equiwm"]


# The limit, and what is ours


def _fill(folder: Path, count: int) -> Cache:
    cache = Cache(folder, LIMIT)
    for index in range(count):
        with cache.writing(f"{index:064x}", 1000) as draft:
            draft.files.add({"x": np.zeros(1000)})
            draft.finish(f"entry {index}", {})
        os.utime(folder / f"{index:064x}" / "entry.json", (index, index))
    return cache


def test_what_was_not_used_for_longest_goes(tmp_path):
    cache = _fill(tmp_path / "kept", 4)
    cache.read(f"{1:064x}")
    assert [entry.what for entry in cache.entries()] == ["entry 1", "entry 3", "entry 2", "entry 0"]
    assert [entry.what for entry in cache.shrink(20_000)] == ["entry 0", "entry 2"]
    assert [entry.what for entry in cache.entries()] == ["entry 1", "entry 3"]


def test_room_is_made_for_new_data(kept, whole, monkeypatch):
    _fill(kept, 4)
    monkeypatch.setenv("EQUIWM_CACHE_LIMIT", "120 kB")
    assert same(collect(), whole)
    assert [each.what for each in Cache(kept, LIMIT).entries()] == ["pusht: 700 transitions, seed 3", "entry 3"]


def test_data_larger_than_the_cache_are_said(kept, whole, monkeypatch, caplog):
    _fill(kept, 2)
    monkeypatch.setenv("EQUIWM_CACHE_LIMIT", "100kB")
    assert same(collect(), whole)
    assert caplog.messages == ["data of 0.000106 GB are not kept: the cache may have 0.0001 GB."]
    assert len(Cache(kept, LIMIT).entries()) == 2


def test_nothing_that_is_not_ours_is_removed(tmp_path):
    cache = _fill(tmp_path / "kept", 2)
    own = {"notes": "", f"{7:064x}": "", "f" * 64: "data"}
    for name, kind in own.items():
        (cache.folder / name).mkdir()
        (cache.folder / name / "mine").write_text("years of work")
        if kind:
            (cache.folder / name / ".equiwm").write_text('{"kind": "run", "schema": 1}')
    outside = tmp_path / "outside"
    os.rename(cache.folder / f"{1:064x}", outside)
    (cache.folder / f"{1:064x}").symlink_to(outside)
    (cache.folder / "file").write_text("mine")
    assert [entry.what for entry in cache.shrink(0)] == ["entry 0"]
    assert (outside / "x").stat().st_size == 8000
    assert sorted(path.name for path in cache.folder.iterdir()) == sorted([*own, f"{1:064x}", "file", ".equiwm"])


def test_a_draft_of_a_living_process_stays(tmp_path):
    cache = _fill(tmp_path / "kept", 1)
    draft = draft_of(cache.folder / "x")
    draft.mkdir()
    cache.shrink(0)
    assert draft.is_dir()


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 5 * 10**8), ("1.5 gb", 1.5e9), ("2T", 2e12), ("10", 10), ("7k", 7000), ("3b", 3)]
)
def test_sizes(text, size):
    assert parse_size(text, "--limit") == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1.5.2GB", "1e9", "many", "1 GiB", "٣GB", "9" * 40])
def test_sizes_that_are_none(text):
    with pytest.raises(ConfigError, match=r"--limit: got '.*', expected a size as 500MB or 2GB"):
        parse_size(text, "--limit")


def test_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.delenv("EQUIWM_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "equiwm"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
    assert cache_folder() == tmp_path / ".cache" / "equiwm"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "equiwm"
    monkeypatch.setenv("EQUIWM_CACHE", "here")
    with pytest.raises(ConfigError, match="EQUIWM_CACHE: got 'here', expected an absolute path"):
        cache_folder()
    monkeypatch.setenv("EQUIWM_CACHE_LIMIT", "much")
    with pytest.raises(ConfigError, match="EQUIWM_CACHE_LIMIT: got 'much'"):
        cache_limit()


# The key


@dataclass(frozen=True)
class KnownConfig(WorldConfig):
    speed: float = setting(1.0, "of all")


class Known(Swing):
    """A world from outside whose data depend on nothing else."""

    Config = KnownConfig
    data_files = ()


def test_the_key_binds_all_that_the_data_depend_on(kept, monkeypatch):
    def key(world=None, **options):
        return key_of(world or world_of("vn-2d"), **{"seed": 3, "transitions": N, **options})

    changed = world_of("vn-2d")
    changed.coverage = Arc(0.0, 91.0)
    first = key()
    assert first is not None
    assert key() == first
    others = [
        key(seed=4),
        key(transitions=N + 1),
        key(world_of("vn-2d", "world.wedge=[0,91]")),
        key(world_of("vn-2d", "world.episode_steps=17")),
        key(world_of("vn-2d-arena")),
        key(changed),
        key(Known(KnownConfig())),
        key(Known(KnownConfig(speed=2.0))),
    ]
    monkeypatch.setattr(data_key, "_installed", lambda: "numpy 3")
    others.append(key())
    monkeypatch.setattr(data_key, "_machine", lambda: ["another"])
    others.append(key())
    assert None not in others
    assert len({first, *others}) == len(others) + 1


def test_the_key_binds_code_and_files(kept, tmp_path, monkeypatch):
    log = tmp_path / "log.npz"
    log.write_bytes(b"1")
    world = checked_world(Known())
    world.data_files = (log,)
    found = [key_of(world, seed=0, transitions=N)]
    log.write_bytes(b"2")
    found.append(key_of(world, seed=0, transitions=N))
    package, module = tmp_path / "package", tmp_path / "mine.py"
    package.mkdir()
    (package / "physics.py").write_text("1")
    module.write_text("GRAVITY = 9.8")
    monkeypatch.setattr(data_key, "_FILES", package)
    monkeypatch.setattr(data_key, "_loaded_elsewhere", lambda: [("mine", module)])
    for path, text in ((package / "physics.py", "2"), (module, "GRAVITY = 9.81")):
        data_key._code.cache_clear()
        found.append(key_of(world, seed=0, transitions=N))
        path.write_text(text)
    data_key._code.cache_clear()
    found.append(key_of(world, seed=0, transitions=N))
    assert None not in found
    assert len(set(found)) == len(found)


def test_code_that_may_not_be_what_is_loaded_has_no_key(kept, monkeypatch):
    monkeypatch.setattr(equiwm, "LOADED_AT", 1000.0)
    data_key._code.cache_clear()
    assert key_of(world_of("vn-2d"), seed=0, transitions=N) is None


def test_a_module_without_a_file_has_no_key(kept, monkeypatch):
    import types

    monkeypatch.setitem(sys.modules, "made_by_hand", types.ModuleType("made_by_hand"))
    assert key_of(checked_world(Known()), seed=0, transitions=N) is None
    assert key_of(world_of("vn-2d"), seed=0, transitions=N) is not None, "for ours nobody else's code counts"


def test_worlds_without_a_key_are_not_kept(kept):
    """One that does not say what it reads, one that holds what has no name, and one of a notebook."""

    class Local(Known):
        pass

    held = Known()
    held.handle = open(os.devnull)  # noqa: SIM115
    notebook = Known()
    notebook.__class__ = type("Known", (Known,), {"__module__": "__main__"})
    for world in (Swing(), held, notebook, Local()):
        assert key_of(world, seed=0, transitions=N) is None
        assert len(collected(world, N, seed=0)) == N
    assert not kept.exists()
    held.handle.close()


def test_a_world_that_changes_while_it_is_asked_is_not_kept(kept, caplog):
    collected(Changing(), N, seed=0)
    assert "the world or its code has changed meanwhile" in caplog.text
    assert Cache(kept, LIMIT).entries() == []


class Changing(Known):
    asked = 0

    def episodes(self, first, count, **options):
        self.asked += 1
        return super().episodes(first, count, **options)


def test_code_that_only_another_process_has_is_not_kept(kept, monkeypatch, caplog):
    here = parts._made_here

    def made(*given):
        part = here(*given)
        return parts._Part(part.rows, part.excluded, {"late.py": "0"})

    monkeypatch.setattr(parts, "_made_here", made)
    collect()
    assert "loaded only in part of the processes" in caplog.text
    assert Cache(kept, LIMIT).entries() == []


def test_a_world_from_outside_is_kept(kept):
    world = checked_world(Known())
    made = collected(world, N, seed=5)
    assert [each.what for each in Cache(kept, LIMIT).entries()] == ["known: 700 transitions, seed 5"]
    assert same(collected(world, N, seed=5), made)


class Plain:
    def __init__(self, **values: object) -> None:
        vars(self).update(values)


def test_values_are_described_by_what_they_are():
    values = [
        *(None, True, 1, 1.0, -0.0, 0.0, "1", b"1", (1,), [1], {1: 2}, {"1": 2}, {1}, frozenset({1})),
        *(np.zeros(2), np.zeros(2, "float32"), np.zeros((1, 2)), np.array([0.0, -0.0]), np.float64(1.0)),
        *(torch.zeros(2), torch.zeros(2, dtype=torch.float64), Plain(), Plain(a=1), Plain(a=2), Plain, os.getcwd),
        *(Arc(0.0, 90.0), Arc(0.0, 91.0), np.random.default_rng(0), np.random.default_rng(1), Path("a"), 1 + 2j),
    ]
    texts = [json.dumps(described(value)) for value in values]
    assert len(set(texts)) == len(texts), texts
    assert described(Plain(a=[1, 2])) == described(Plain(a=[1, 2]))


def test_values_that_have_no_name():
    loop: list[object] = []
    loop.append(loop)
    for value in (lambda: 1, (each for each in ()), loop, sys.stderr):
        with pytest.raises(Unknown):
            described(value)


# The command


def test_the_command_lists_and_clears(kept, capsys):
    assert command(["cache"]) == 0
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", f"{kept} holds nothing: 0 B of at most 5 GB.\n")
    assert not kept.exists()
    collect()
    assert command(["cache"]) == 0
    seen = capsys.readouterr()
    assert "| pusht: 700 transitions, seed 3 | 10" in seen.out
    assert "kB of at most 5 GB." in seen.err
    assert command(["cache", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(kept)
    assert told["limit"] == LIMIT
    assert [each["what"] for each in told["entries"]] == ["pusht: 700 transitions, seed 3"]
    assert told["removed"] == []
    assert command(["cache", "--limit", "1GB"]) == 0
    assert "removed: 0 of 1 entries." in capsys.readouterr().err
    _edit(entry(kept), schema=99)
    assert command(["cache"]) == 0
    assert "of another version, or damaged" in capsys.readouterr().out
    assert command(["cache", "--clear"]) == 0
    assert "removed: 1 of 1 entries." in capsys.readouterr().err
    assert [path.name for path in kept.iterdir()] == [".equiwm"]


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["--limit", "much"], {}, "error: --limit: got 'much', expected a size as 500MB or 2GB."),
        (["--clear", "--limit", "1GB"], {}, "error: give --clear or --limit, not both."),
        ([], {"EQUIWM_CACHE": "off"}, "error: there is no cache: EQUIWM_CACHE is off"),
        ([], {"EQUIWM_CACHE": "here"}, "error: EQUIWM_CACHE: got 'here', expected an absolute path"),
        ([], {"EQUIWM_CACHE_LIMIT": "x"}, "error: EQUIWM_CACHE_LIMIT: got 'x'"),
        (["--clear"], {"EQUIWM_CACHE": str(TESTS)}, "error: cannot use"),
    ],
)
def test_what_the_command_refuses(kept, monkeypatch, capsys, arguments, variables, said):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert command(["cache", *arguments]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_what_cannot_be_removed_is_said(kept, monkeypatch, capsys):
    _fill(kept, 1)
    monkeypatch.setattr(disk_cache, "remove_folder", lambda path, kind: path)
    assert command(["cache", "--clear"]) == 2
    assert "1 entries of" in capsys.readouterr().err


def test_a_cache_that_cannot_be_looked_at(tmp_path):
    with pytest.raises(RunError, match="cannot use"):
        Cache(Path("/proc/self/mem"), LIMIT)
