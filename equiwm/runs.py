"""The run directory: what a command leaves on disk. Its plain files are read and written by `equiwm.layout`.

A run is a folder with `config.yaml` (fully resolved), `history.csv`, `metrics.json`, `summary.*` and
`figures/`; a training also has `checkpoint.pt`, and `resume.pt` until it is done. Every file is written
beside itself and renamed into place: an interruption leaves the old file or the new one, never half of one;
but for `history.csv`, which is appended, and of which a line without an end is no row.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from equiwm import config as configuration
from equiwm.config import Config
from equiwm.disk.drafts import remove_stale
from equiwm.disk.files import reason
from equiwm.disk.locks import hold
from equiwm.disk.ownership import make_folder, remove_folder, require_text
from equiwm.disk.strict_json import plain
from equiwm.errors import ConfigError, RunError
from equiwm.layout.binding import Binding, sha256
from equiwm.layout.header import Header, RunKind, canonical_config, check_seed, read_config, versions
from equiwm.layout.history import HistoryWriter, read_history
from equiwm.layout.metrics import read_metrics, record_metrics
from equiwm.policy import PolicyConfig, Teacher, policy_of, without_policy
from equiwm.resume_hint import resume_command
from equiwm.trust import admit, locations, seal

STUDY_RUNS = "runs"
"""Folder of a study that holds runs of its own."""

_NAME_BYTES = 200  # file systems take 255; what is written beside a run has a longer name

_MOST_BYTES = 4 * 2**30
"""Of a checkpoint whose model is not built."""

State = Literal["absent", "incomplete", "complete"]


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Dotted keys at which two configurations differ, with both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        prefix = f"{where}." if where else ""
        return [
            line for key in sorted({*old, *new}) for line in _differences(old.get(key), new.get(key), f"{prefix}{key}")
        ]
    return [] if old == new else [f"{where} (was {old}, now {new})"]


def _first_of(changed: Sequence[str]) -> str:
    """The first three of some differences, and how many more there are."""
    return ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")


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
            kind: `train`, `study` or `policy`.
            command: the command line that makes it.

        Raises:
            RunError: a name that is no folder name, something in the way, or an unwritable folder.
            ConfigError: a seed that no generator takes.
        """
        check_name(name)
        check_seed(seed)
        run = Run(Path(folder) / name)
        for given in (str(run.path), *command):  # config.yaml is text
            require_text(given)
        run.refuse_existing()
        code = locations(configuration.foreign_names(config))
        header = Header(kind, name, seed, tuple(command), versions(), code=code, seal=seal(code) if code else "")
        head = {**dataclasses.asdict(header), "command": list(header.command)}
        head = {key: value for key, value in head.items() if code or key not in ("code", "seal")}
        text = yaml.safe_dump({**head, **plain(config)}, sort_keys=False, allow_unicode=True)
        try:
            make_folder(run.path, "study" if kind == "study" else "run", {"config.yaml": text})
        except OSError as error:
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
        """Remove a run in which there is nothing but what `create` and the locks put there; another one stays, and so
        does one that another process trains: it found the run and has nothing to show for itself yet.
        """
        with suppress(RunError), self.lock():
            remove_folder(self.path, "run")

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
    def lock_path(self) -> Path:
        """`.train.lock`: held while a process trains the run."""
        return self.path / ".train.lock"

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
        """The resolved configuration of a training; of a policy that of its teacher's.

        Raises:
            TrustError: it names code from outside this package that this user has not pointed at.
            ConfigError: an unknown key or a wrong value, with the file's name.
        """
        data = self.data
        names = configuration.foreign_names(data)
        if names:
            admit(self.path, names, code=self.header.code, given=self.header.seal, trusted=self.trust)
        try:
            return configuration.parse(without_policy(data))
        except ConfigError as error:
            raise ConfigError(f"{self.config_path}: {error}") from None

    @cached_property
    def policy(self) -> tuple[PolicyConfig, Teacher]:
        """What a policy's configuration says besides: the network, how it was cloned, and from which run.

        Raises:
            RunError: the run is no policy.
            ConfigError: an unknown key or a wrong value, with the file's name.
        """
        if self.header.kind != "policy":
            raise RunError(f"{self.path} is no policy; expected the directory of one, as `equiwm distill` makes.")
        try:
            return policy_of(self.data)
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
            raise RunError(
                f"cannot resume {self.path}: the configuration changed: {_first_of(changed)}.\n"
                "Give the configuration it was started with, or another --name."
            )

    def binding(self, epoch: int | None, history_sha256: str | None) -> Binding:
        """What weights of this run say of where they belong.

        Args:
            epoch: epochs that they were trained for; None where no training of ours made them.
            history_sha256: of the rows up to that epoch.
        """
        text = canonical_config(self.header.seed, self.data)
        return Binding(sha256(text), text, epoch, history_sha256)

    def require_own(self, binding: Binding, path: Path) -> None:
        """Refuse weights of another configuration or seed than `config.yaml` has.

        Args:
            binding: what they say.
            path: their file.

        Raises:
            RunError: which settings differ, the first three of them.
        """
        own = self.binding(None, None)
        if binding.config_sha256 == own.config_sha256:
            return
        try:
            changed = _differences(json.loads(binding.config), json.loads(own.config))
        except (ValueError, RecursionError):
            changed = []
        what = f"another configuration: {_first_of(changed)}" if changed else "another configuration"
        raise RunError(
            f"{path} does not belong to {self.config_path}: it was trained with {what}.\n"
            "Restore the file that belongs there, or train again under another --name."
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for training. The system releases the lock when the process dies, however it dies.

        Raises:
            RunError: another process holds it, or the directory cannot be written.
        """
        with hold(self.lock_path, f"the run {self.path}"):
            remove_stale(self.path)
            yield

    def checkpoint_sha256(self) -> str:
        """SHA-256 of `checkpoint.pt`, hexadecimal: which weights a result belongs to.

        Raises:
            RunError: it cannot be read, or is larger than weights are.
        """
        try:
            with self.checkpoint.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > _MOST_BYTES:  # a sparse one takes no space and hours to hash
                    raise RunError(
                        f"{self.checkpoint} has {size:,} bytes, expected at most {_MOST_BYTES:,}; "
                        "restore the file that was there."
                    )
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RunError(f"cannot read {self.checkpoint}: {reason(error)}.") from None

    def history(self) -> list[dict[str, float]]:
        """`read_history` of the run."""
        return read_history(self.history_path)

    def history_writer(self) -> HistoryWriter:
        """What extends the run's history, while the run is held."""
        return HistoryWriter(self.history_path)

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
