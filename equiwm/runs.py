"""The run directory: what a command leaves on disk, and the only code that reads and writes its plain files.

A run is a folder with `config.yaml` (fully resolved), `history.csv`, `metrics.json`, `summary.*` and
`figures/`; a training also has `checkpoint.pt`, and `resume.pt` until it is done. Every file is written
beside itself and renamed into place: an interruption leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import csv
import dataclasses
import errno
import hashlib
import io
import os
import platform
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock, Timeout

from equiwm import config as configuration
from equiwm.config import Config
from equiwm.disk.files import reason, write_atomic
from equiwm.disk.locks import hold
from equiwm.disk.strict_json import canonical_json, plain, read_json
from equiwm.disk.text import read_text
from equiwm.errors import ConfigError, RunError, nearest
from equiwm.printable import quoted
from equiwm.results.door import SCHEMA as RESULT_SCHEMA
from equiwm.resume_hint import resume_command
from equiwm.trust import admit, locations, seal

SCHEMA = 1
"""Version of the layout of a run directory; a higher one than ours is refused."""
STUDY_RUNS = "runs"
"""Folder of a study that holds runs of its own."""

LOCK_SECONDS = 60.0
"""How long a writer of metrics.json waits for another; each holds the lock for milliseconds."""

_NAME_BYTES = 200  # file systems take 255; what is written beside a run has a longer name

RunKind = Literal["train", "study"]
State = Literal["absent", "incomplete", "complete"]

_CONFIG_KEYS = tuple(field.name for field in dataclasses.fields(Config))


def read_metrics(folder: Path) -> dict[str, Any]:
    """The content of `folder`/metrics.json, empty if there is none yet.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / "metrics.json"
    data = read_json(path) if os.path.lexists(path) else {}
    for section, entry in data.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("variants", {}), dict):
            raise RunError(f"{path} is damaged (section {quoted(section)}); move it away and run again.")
    return data


def record_metrics(
    folder: Path,
    section: str,
    variant: str | None,
    result: Mapping[str, Any],
    baseline: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the result of one invocation into `folder`/metrics.json, under a lock and atomically.

    The section's top level becomes this result; `variants[variant]` keeps it beside those of other variants.

    Args:
        folder: a run, or the folder given by `--out`; created if it is missing.
        section: the command, as metrics.json names it (`sweep_group`).
        variant: canonical key of the invocation (`so3`, `se3/float64`); None for a command without variants.
        result: JSON data, with the schema it was written in (ours if it does not say); numpy values are unpacked,
            non-finite numbers become null.
        baseline: the baseline's result with its preset, seed and checkpoint hash; stored as `baseline`, unless it
            stands in the result already.

    Returns:
        The content of metrics.json as it was written.

    Raises:
        RunError: metrics.json is damaged (and stays as it is), cannot be written, or is locked for too long.
    """
    reserved = {"variants", "baseline"} & set(result)
    if "variants" in reserved or (reserved and baseline is not None):
        raise ValueError(f"the result of {section} has keys of metrics.json itself: {sorted(reserved)}")
    entry = {"schema": RESULT_SCHEMA, **plain(result)}
    if baseline is not None:
        entry["baseline"] = {"schema": RESULT_SCHEMA, **plain(baseline)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".metrics.lock", timeout=LOCK_SECONDS):
            data = read_metrics(folder)
            variants = data.get(section, {}).get("variants", {})
            if variant is not None:
                variants[variant] = entry
            data[section] = {**entry, "variants": variants} if variants else entry
            write_atomic(folder / "metrics.json", canonical_json(data, indent=2) + "\n")
            return data
    except Timeout:
        raise RunError(f"{folder / 'metrics.json'} is locked by another process; try again.") from None
    except OSError as error:
        raise RunError(f"cannot write {folder / 'metrics.json'}: {reason(error)}.") from None


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on, from the packages' metadata (importing none of them)."""
    found = {"python": platform.python_version()}
    for package in ("equiwm", "torch", "numpy", "gym-pusht"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@dataclass(frozen=True)
class Header:
    """What `config.yaml` says about a run besides its sections.

    Attributes:
        kind: `train`, which has a checkpoint, or `study` (an ablation, a reproduction), which has none.
        name: the run's name when it was made; the folder may have been renamed since.
        seed: seeds everything in the run.
        command: the command line, one entry an argument; empty when the run was made from Python.
        versions: package -> version.
        schema: version of the layout.
        code: module -> file of the code from outside this package that the run was made with.
        seal: of `code`, by the user who made the run (`equiwm.trust`).
    """

    kind: RunKind
    name: str
    seed: int
    command: tuple[str, ...]
    versions: dict[str, str]
    schema: int = SCHEMA
    code: dict[str, str] = field(default_factory=dict)
    seal: str = ""


def read_config(path: Path) -> tuple[Header, dict[str, Any]]:
    """Split a `config.yaml` into its header and the rest, which `equiwm.config.parse` takes (for a training).

    A study may have the sections of a training as well, and a section `study` of its own.

    Raises:
        ConfigError: the file is not YAML, or a key is missing, unknown or of the wrong type.
        RunError: the run was written by a later version of equiwm.
    """
    data = configuration.read_yaml(path, inside=path.parent)
    types: dict[str, type] = {
        "kind": str,
        "schema": int,
        "name": str,
        "seed": int,
        "command": list,
        "versions": dict,
    }
    optional: dict[str, type] = {"code": dict, "seal": str}
    for key, kind in {**types, **optional}.items():
        if key in optional and key not in data:
            continue
        if key not in data:
            raise ConfigError(f"{path}: no key '{key}'; it was not written by equiwm, or it is damaged.")
        if not isinstance(data[key], kind) or isinstance(data[key], bool):
            raise ConfigError(f"{path}: {key}: got {quoted(data[key])}, expected {kind.__name__}.")
    for key, least in (("seed", 0), ("schema", 1)):
        if data[key] < least:
            raise ConfigError(f"{path}: {key}: got {data[key]}, expected at least {least}.")
    if data["schema"] > SCHEMA:
        raise RunError(f"{path} has schema {data['schema']}, expected at most {SCHEMA}; install a later equiwm.")
    if data["kind"] not in ("train", "study"):
        raise ConfigError(f"{path}: kind: got {quoted(data['kind'])}, expected train or study.")
    sections = [*_CONFIG_KEYS, *(["study"] if data["kind"] == "study" else [])]
    for key in data:
        if key not in types and key not in optional and key not in sections:
            raise ConfigError(f"{path}: unknown key {quoted(key)}: {nearest(str(key), [*types, *sections])}")
    header = Header(
        kind=data["kind"],
        name=data["name"],
        seed=data["seed"],
        command=tuple(map(str, data["command"])),
        versions={str(package): str(version) for package, version in data["versions"].items()},
        schema=data["schema"],
        code={str(module): str(file) for module, file in data.get("code", {}).items()},
        seal=data.get("seal", ""),
    )
    return header, {key: value for key, value in data.items() if key not in types and key not in optional}


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Dotted keys at which two configurations differ, with both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        prefix = f"{where}." if where else ""
        return [
            line for key in sorted({*old, *new}) for line in _differences(old.get(key), new.get(key), f"{prefix}{key}")
        ]
    return [] if old == new else [f"{where} (was {old}, now {new})"]


def run_name(preset: str, seed: int) -> str:
    """Name of a run that is given none: the preset's, with `-sN` for a seed N other than 0."""
    return preset if seed == 0 else f"{preset}-s{seed}"


def check_name(name: str) -> None:
    """Refuse a name of a run that is no folder name.

    Raises:
        RunError: what a name may be.
    """
    separators = any(character in name for character in "/\\")
    if not name or name.startswith(".") or separators or not name.isprintable() or len(name.encode()) > _NAME_BYTES:
        raise RunError(
            f"--name '{name[:40]}': expected a folder name of printable characters, at most {_NAME_BYTES} bytes, "
            "without '/', '\\' and a leading dot."
        )


@dataclass(frozen=True)
class Run:
    """A run directory. `Run.open` and `Run.create` return one that has been checked.

    Attributes:
        path: the directory.
        trust: modules from outside this package that may be imported although this user's seal is not on the run.
    """

    path: Path
    trust: tuple[str, ...] = ()

    @staticmethod
    def create(
        folder: Path,
        name: str,
        config: Mapping[str, Any],
        *,
        seed: int,
        kind: RunKind = "train",
        command: Sequence[str] = (),
    ) -> Run:
        """Make the directory `folder`/`name` with its `config.yaml`, or nothing at all.

        Args:
            folder: the folder that holds runs; created if it is missing.
            name: the run's name, a single path component that does not start with a dot.
            config: plain data, `Config.as_dict()`; a study may add a section `study`.
            seed: the run's seed.
            kind: `train` or `study`.
            command: the command line that makes it.

        Raises:
            RunError: a name that is no folder name, something in the way, or an unwritable folder.
        """
        check_name(name)
        run = Run(Path(folder) / name)
        run.refuse_existing()
        code = locations(configuration.foreign_names(config))
        header = Header(kind, name, seed, tuple(command), versions(), code=code, seal=seal(code) if code else "")
        head = {**dataclasses.asdict(header), "command": list(header.command)}
        head = {key: value for key, value in head.items() if code or key not in ("code", "seal")}
        text = yaml.safe_dump({**head, **plain(config)}, sort_keys=False, allow_unicode=True)
        # The directory is filled under another name and renamed: of two processes one wins, and no reader
        # ever finds it without its config.yaml.
        made: list[Path] = []
        draft = run.path.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            made = [parent for parent in run.path.parents if not parent.exists()]
            draft.mkdir(parents=True)
            write_atomic(draft / "config.yaml", text)
            if run.path.is_dir():
                run.path.rmdir()
            os.rename(draft, run.path)
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            for parent in made:
                with suppress(OSError):  # not empty: another process has put a run there
                    parent.rmdir()
            if not isinstance(error, OSError):
                raise
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise RunError(f"the run {run.path} was just made by another process.") from None
            raise RunError(f"cannot make the run {run.path}: {reason(error)}; choose another --out.") from None
        return run

    @staticmethod
    def open(path: Path | str, *, needs_checkpoint: bool = True, trust: Sequence[str] = ()) -> Run:
        """An existing run.

        Args:
            path: its directory.
            needs_checkpoint: refuse studies and trainings that are still incomplete.
            trust: modules from outside this package that its configuration may name.

        Raises:
            RunError: no run directory; a study, or an incomplete training, where a checkpoint is needed.
            ConfigError: its `config.yaml` is damaged or foreign.
        """
        run = Run(Path(path), tuple(trust))
        # os.path: unlike Path's methods it says False, and raises nothing, where it may not look
        if not os.path.isdir(run.path):
            what = "it is a file" if os.path.isfile(run.path) else "it does not exist"
            raise RunError(f"{run.path} is not a run directory: {what}.")
        if not os.path.isfile(run.config_path):
            raise RunError(f"{run.path} is not a run directory: it has no config.yaml.")
        header = run.header
        if needs_checkpoint and header.kind == "study":
            raise RunError(f"{run.path} is a study and has no checkpoint; give the directory of a training.")
        if needs_checkpoint and run.state == "incomplete":
            raise RunError(f"{run.path} is still incomplete; finish it with:\n{run.resume_command}")
        return run

    def discard_untrained(self) -> None:
        """Remove a run in which there is nothing but what `create` and the locks put there; another one stays."""
        ours = {self.config_path, self.path / ".train.lock", self.path / ".metrics.lock"}
        if self.path.is_dir() and set(self.path.iterdir()) <= ours:
            for path in ours:
                path.unlink(missing_ok=True)
            self.path.rmdir()

    def refuse_existing(self) -> None:
        """Refuse to make this run anew.

        Raises:
            RunError: there is a run, or something else, in the way.
        """
        if self.state != "absent":
            raise RunError(f"the run {self.path} exists; pass --resume to go on with it, or another --name.")
        try:
            if self.path.is_dir() and any(self.path.iterdir()):
                raise RunError(f"{self.path} exists and is not a run; pass another --name or --out.")
            if self.path.exists() and not self.path.is_dir():
                raise RunError(f"{self.path} exists and is a file; pass another --name or --out.")
        except OSError as error:
            raise RunError(f"cannot make the run {self.path}: {reason(error)}; choose another --out.") from None

    @property
    def name(self) -> str:
        """Name of the directory."""
        return self.path.resolve().name

    @property
    def config_path(self) -> Path:
        """`config.yaml`."""
        return self.path / "config.yaml"

    @property
    def checkpoint(self) -> Path:
        """`checkpoint.pt`: there once a training is complete."""
        return self.path / "checkpoint.pt"

    @property
    def data_path(self) -> Path:
        """`data.pt`: training data that no recipe gives again, of a run that was saved from Python."""
        return self.path / "data.pt"

    @property
    def resume_point(self) -> Path:
        """`resume.pt`: there while a training is under way."""
        return self.path / "resume.pt"

    @property
    def history_path(self) -> Path:
        """`history.csv`."""
        return self.path / "history.csv"

    @property
    def metrics_path(self) -> Path:
        """`metrics.json`."""
        return self.path / "metrics.json"

    @property
    def summary(self) -> Path:
        """`summary.txt`."""
        return self.path / "summary.txt"

    @property
    def summary_svg(self) -> Path:
        """`summary.svg`."""
        return self.path / "summary.svg"

    @property
    def figures(self) -> Path:
        """`figures/`, not made before something is drawn."""
        return self.path / "figures"

    @property
    def state(self) -> State:
        """`absent`, `incomplete` (a training without its checkpoint) or `complete`."""
        if not os.path.isfile(self.config_path):  # Path.is_file raises where a folder may not be entered
            return "absent"
        return "complete" if self.header.kind == "study" or self.checkpoint.is_file() else "incomplete"

    @cached_property
    def _read(self) -> tuple[Header, dict[str, Any]]:
        """`config.yaml`, which nothing changes once the run is made, read once."""
        return read_config(self.config_path)

    @property
    def header(self) -> Header:
        """What `config.yaml` says besides the sections."""
        return self._read[0]

    @property
    def data(self) -> dict[str, Any]:
        """The sections of `config.yaml`, plain."""
        return self._read[1]

    @cached_property
    def config(self) -> Config:
        """The resolved configuration of a training.

        Raises:
            TrustError: it names code from outside this package that this user has not pointed at.
            ConfigError: an unknown key or a wrong value, with the file's name.
        """
        data = self.data
        names = configuration.foreign_names(data)
        if names:
            admit(self.path, names, code=self.header.code, given=self.header.seal, trusted=self.trust)
        try:
            return configuration.parse(data)
        except ConfigError as error:
            raise ConfigError(f"{self.config_path}: {error}") from None

    @property
    def resume_command(self) -> str:
        """The command that finishes this training or study, or in words which one it is (`equiwm.resume_hint`)."""
        return resume_command(self.path, self.header, self.data)

    def require_same(self, config: Mapping[str, Any], seed: int) -> None:
        """Refuse to resume with another configuration than the run was started with.

        Args:
            config: plain data, `Config.as_dict()`.
            seed: the seed.

        Raises:
            RunError: what changed, the first three keys of it.
        """
        header, data = self.header, self.data
        changed = _differences({"seed": header.seed, **data}, {"seed": seed, **plain(config)})
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise RunError(
                f"cannot resume {self.path}: the configuration changed: {', '.join(changed[:3])}{more}.\n"
                "Give the configuration it was started with, or another --name."
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for training. The system releases the lock when the process dies, however it dies.

        Raises:
            RunError: another process holds it, or the directory cannot be written.
        """
        with hold(self.path / ".train.lock", f"the run {self.path}"):
            yield

    def checkpoint_sha256(self) -> str:
        """SHA-256 of `checkpoint.pt`, hexadecimal: which weights a result belongs to."""
        with self.checkpoint.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def history(self) -> list[dict[str, float]]:
        """The rows of `history.csv` in order of epoch, empty if there is none.

        Raises:
            RunError: the file is damaged.
        """
        return [
            {key: int(cell) if key == "epoch" else float(cell) for key, cell in row.items()} for row in self._rows()
        ]

    def _rows(self) -> list[dict[str, str]]:
        """The stored rows as text, so that rewriting them changes no digit; every cell has been read once."""
        if not os.path.lexists(self.history_path):
            return []
        try:
            text = read_text(self.history_path, inside=self.path)
            rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
            for row in rows:
                int(row["epoch"])
                for cell in row.values():
                    float(cell)
        except (KeyError, TypeError, ValueError, csv.Error):
            raise RunError(f"{self.history_path} is damaged; remove the run, or restore the file.") from None
        return rows

    def extend_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Append rows to `history.csv`, one an epoch.

        Stored rows of the first new epoch and of later ones are dropped: they were written after the point
        that a training was resumed from. Write the history before `resume.pt`, or an interruption between the
        two leaves a gap.

        Args:
            rows: each with an `epoch` and the columns of the stored ones; NaN and infinities are kept.

        Raises:
            RunError: the file is damaged or cannot be written.
        """
        if not rows:
            return
        kept = [row for row in self._rows() if int(row["epoch"]) < rows[0]["epoch"]]
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, fieldnames=list((kept or rows)[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        for row in rows:  # as Python numbers: numpy's would be written as np.float64(...)
            writer.writerow({key: int(cell) if key == "epoch" else float(cell) for key, cell in row.items()})
        write_atomic(self.history_path, buffer.getvalue())

    def metrics(self) -> dict[str, Any]:
        """The content of `metrics.json`, empty if there is none yet."""
        return read_metrics(self.path)

    def record(
        self,
        section: str,
        variant: str | None,
        result: Mapping[str, Any],
        baseline: Mapping[str, Any] | None = None,
        *,
        out: Path | None = None,
    ) -> dict[str, Any]:
        """`record_metrics` into the run, or into the folder `out` if it is given."""
        return record_metrics(self.path if out is None else Path(out), section, variant, result, baseline)
