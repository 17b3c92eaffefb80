"""Mirror maps as robot RL libraries write them: for every entry of a state or an action another one, with a sign.

    state: {left_knee: right_knee, right_knee: left_knee, torso_y: -torso_y}    # what is not named stays
    action: [3, 4, 5, 0, -1, -2]    # entry k is the entry named, with its sign

A section `observation` of the same form is compared with what the state's map does to the observation. Names are those
of the channels; an entry of a channel of several is `position[1]`. Entry 0 with a minus sign is `-0` in quotes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equiwm.disk.safe_yaml import read_yaml
from equiwm.errors import ConfigError, nearest
from equiwm.evidence.world.columns import Column
from equiwm.evidence.world.simulator import row
from equiwm.foreign import called
from equiwm.locate import locate, locate_in_file
from equiwm.printable import quoted


@dataclass(frozen=True, eq=False)
class MirrorMap:
    """x -> M x + b of states and actions.

    Attributes:
        state, action: M, (S, S) and (A, A).
        state_shift, action_shift: b.
    """

    state: np.ndarray
    action: np.ndarray
    state_shift: np.ndarray
    action_shift: np.ndarray

    @property
    def is_involution(self) -> bool:
        """Whether twice is the identity."""
        return all(
            np.allclose(m @ m, np.eye(len(m)), atol=1e-9) and np.allclose(m @ b + b, 0.0, atol=1e-9)
            for m, b in ((self.state, self.state_shift), (self.action, self.action_shift))
        )

    @property
    def is_signed_permutation(self) -> bool:
        """Whether every entry goes to one place, with a sign, and nothing is added."""
        found = all(
            np.allclose(np.abs(m).sum(axis), 1.0) and np.allclose(np.sort(np.abs(m).ravel())[-len(m) :], 1.0)
            for m in (self.state, self.action)
            for axis in (0, 1)
        )
        return found and not (self.state_shift.any() or self.action_shift.any())

    def on_state(self, x: np.ndarray) -> np.ndarray:
        """The map on states (..., S)."""
        return np.asarray(x @ self.state.T + self.state_shift)

    def on_action(self, x: np.ndarray) -> np.ndarray:
        """The map on actions (..., A)."""
        return np.asarray(x @ self.action.T + self.action_shift)


def entry_names(columns: Sequence[Column], width: int) -> list[str]:
    """A name for every entry: the channel's, or `channel[k]`."""
    names = [str(k) for k in range(width)]
    for column in columns:
        for k, at in enumerate(column.index):
            names[at] = column.name if len(column.index) == 1 else f"{column.name}[{k}]"
    return names


def read_map(source: str, state_names: list[str], action_names: list[str], own: MirrorMap | None = None) -> MirrorMap:
    """The map of a YAML file, or of a function (state, action) -> (state, action) as `module:function`.

    Args:
        source: the file, or where the function is.
        state_names, action_names: of the entries.
        own: the world's own map: what a file that says nothing of states, but of observations, means.

    Raises:
        ConfigError: a file or function that cannot be read, unknown names, another length, or a function that is not
            affine.
    """
    path, _, name = source.rpartition(":")
    if source.endswith((".yaml", ".yml")):
        given = read_yaml(Path(source))
        unknown = set(given) - {"state", "action", "observation"}
        if unknown or not given:
            keys = ", ".join(map(str, given)) or "none"
            raise ConfigError(f"{source}: expected the keys state, action and observation; got {keys}.")
        state = signed_matrix(given.get("state", {}), state_names, f"{source}: state")
        if "state" not in given and own is not None:
            state = own.state
        action = signed_matrix(given.get("action", {}), action_names, f"{source}: action")
        return MirrorMap(state, action, np.zeros(len(state)), np.zeros(len(action)))
    if not path:
        raise ConfigError(f"--map {quoted(source)}: expected a YAML file of names and signs, or module:function.")
    function: Any = locate_in_file(Path(path), name) if path.endswith(".py") else locate("probe", source)
    return _of_function(function, source, len(state_names), len(action_names))


def signed_matrix(given: Any, names: list[str], what: str) -> np.ndarray:
    """The matrix of a list of signed entries, or of a mapping of names to signed names.

    Raises:
        ConfigError: another length, unknown names, or what is neither.
    """
    size = len(names)
    if isinstance(given, Sequence) and not isinstance(given, str):
        if len(given) != size:
            raise ConfigError(f"{what} has {len(given)} entries; expected {size}: {', '.join(names[:8])}, ...")
        rows = dict(enumerate(given))
    elif isinstance(given, Mapping):
        rows = {_entry(str(key), names, what)[0]: value for key, value in given.items()}
    else:
        raise ConfigError(f"{what} is {quoted(given)}; expected a list of signed entries, or names with signed names.")
    matrix = np.eye(size)
    for k, value in rows.items():
        at, sign = _entry(str(value), names, what)
        matrix[k] = 0.0
        matrix[k, at] = sign
    return matrix


def _entry(text: str, names: list[str], what: str) -> tuple[int, float]:
    text = text.strip()
    sign = -1.0 if text.startswith("-") else 1.0
    plain = text.lstrip("+-").strip()
    if plain in names:
        return names.index(plain), sign
    if plain.isdigit() and int(plain) < len(names):
        return int(plain), sign
    raise ConfigError(f"{what}: no entry {quoted(plain)}; {nearest(plain, names)}")


def _of_function(function: Any, source: str, states: int, actions: int) -> MirrorMap:
    if not callable(function):
        raise ConfigError(f"--map {source}: got {type(function).__name__}, expected a function (state, action).")

    def at(state: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = called(function, f"--map {source}", state.copy(), action.copy())
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise ConfigError(f"--map {source}: expected a function that gives (state, action).")
        return row(given[0], f"the state that {source} gives", states), row(
            given[1], f"the action that {source} gives", actions
        )

    zero = at(np.zeros(states), np.zeros(actions))
    state = np.stack([at(e, np.zeros(actions))[0] - zero[0] for e in np.eye(states)], 1)
    action = np.stack([at(np.zeros(states), e)[1] - zero[1] for e in np.eye(actions)], 1)
    found = MirrorMap(state, action, zero[0], zero[1])
    rng = np.random.default_rng(0)
    x, u = rng.normal(size=states), rng.normal(size=actions)
    got = at(x, u)
    if not (np.allclose(found.on_state(x), got[0]) and np.allclose(found.on_action(u), got[1])):
        raise ConfigError(f"--map {source}: it is not affine; a mirror map is a signed permutation.")
    return found


def as_text(map_: MirrorMap, state_names: list[str], action_names: list[str]) -> str:
    """The map in the form of the file: what stays is left out."""
    return rows_as_text("state", map_.state, state_names) + rows_as_text("action", map_.action, action_names)


def rows_as_text(section: str, matrix: np.ndarray, names: list[str]) -> str:
    """One section of the file."""
    rows = []
    for k, source in enumerate(np.abs(matrix).argmax(1)):
        sign = "-" if matrix[k, source] < 0 else ""
        if source != k or sign:
            rows.append(f'  "{names[k]}": "{sign}{names[source]}"')
    return "\n".join([f"{section}:", *rows] if rows else [f"{section}: {{}}"]) + "\n"
