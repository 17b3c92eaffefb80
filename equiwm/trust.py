"""Whose code a run may bring: of the modules that a run's folder names, only those that this user has pointed at.

A preset, a configuration file or a command line is the user's own, and so is the code that it names. A run directory
may come from somebody else: to load it is to import what its `config.yaml` names. A run that this user made with code
from outside the package is sealed: its `config.yaml` says where each module lies, under a keyed hash whose key is this
user's alone (in `$XDG_STATE_HOME/equiwm`, by default `~/.local/state/equiwm`). Anything else is refused, before any
import, until the modules are named with `--trust`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from equiwm.disk.drafts import discard, draft_of, remove_stale
from equiwm.disk.strict_json import canonical_json
from equiwm.errors import ConfigError, TrustError
from equiwm.locate import module_file, search

_KEY_BYTES = 32


def state_folder() -> Path:
    """The folder of what belongs to this user on this machine, not to a run."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "equiwm"


def _key(*, create: bool) -> bytes | None:
    """This user's key; None where there is none, or none can be made (a home that cannot be written)."""
    path = state_folder() / "key"
    try:
        if create and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(path.parent)
            draft = draft_of(path)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
            try:
                os.link(draft, path)  # of two processes that make one, the first one's stays
            except FileExistsError:
                pass
            finally:
                discard(draft)
        key = path.read_bytes()
    except OSError:
        return None
    return key if len(key) == _KEY_BYTES else None


def modules_of(names: Sequence[str]) -> list[str]:
    """The modules of some `module:name`, each once."""
    return list(dict.fromkeys(name.partition(":")[0] for name in names))


def locations(names: Sequence[str]) -> dict[str, str]:
    """Module -> its file, of modules that have been imported."""
    return {module: str(module_file(module) or "") for module in modules_of(names)}


def seal(code: Mapping[str, str]) -> str:
    """The seal of module -> file; empty where this user can have no key, and the run is then trusted by name only."""
    key = _key(create=True)
    return "" if key is None else _digest(key, code)


def _digest(key: bytes, code: Mapping[str, str]) -> str:
    return hmac.new(key, canonical_json(dict(code)).encode(), hashlib.sha256).hexdigest()


def is_sealed(code: Mapping[str, str], given: str) -> bool:
    """Whether `given` is this user's seal of module -> file."""
    key = _key(create=False)
    # As bytes: of text `compare_digest` takes ASCII alone, and a stranger writes what they like.
    return key is not None and bool(given) and hmac.compare_digest(_digest(key, code).encode(), given.encode())


def admit(run: Path, names: Sequence[str], *, code: Mapping[str, str], given: str, trusted: Sequence[str]) -> None:
    """Let the code that a run names be imported, or refuse.

    Args:
        run: the run's directory, for the message.
        names: `module:name` that its configuration has.
        code: module -> file, as its `config.yaml` has it.
        given: the seal that it has.
        trusted: modules that the user trusts in this command.

    Raises:
        TrustError: a module that is neither sealed by this user nor trusted.
        ConfigError: the module of that name that is imported already is another file's.
    """
    wanted, sealed = modules_of(names), is_sealed(code, given)
    unknown = [module for module in wanted if module not in trusted and not (sealed and module in code)]
    if unknown:
        again = " ".join(f"--trust {module}" for module in unknown)
        raise TrustError(
            f"{run} names code from outside equiwm that you have not run here: {', '.join(unknown)}. To import it, "
            f"pass {again}."
        )
    for module in wanted:
        file = code.get(module) if sealed and module not in trusted else None
        if not file:
            continue
        search(_root(module, Path(file)))
        loaded = module_file(module)
        if loaded is not None and loaded != Path(file).resolve():
            raise ConfigError(f"{run} was made with {file}, but '{module}' is {loaded} in this process.")


def _root(module: str, file: Path) -> Path:
    """The folder from which `module`, which lies in `file`, is imported."""
    depth = module.count(".") + (1 if file.name == "__init__.py" else 0)
    return file.resolve().parents[depth]
