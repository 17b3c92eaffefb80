"""Recorded PushT episodes: where `--task wm` takes its starts and goals from, and what a model may be trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equiwm.errors import DataError
from equiwm.logs.formats import read_raw
from equiwm.worlds.pusht.physics import AGENT, ANGLE, BLOCK, STATE_SIZE

COLUMNS = ("agent x", "agent y", "block x", "block y", "block angle")
"""Of the column `state`, px and radians."""


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Recorded episodes.

    Attributes:
        name: of the file or folder they were read from.
        states: (n, STATE_SIZE), at rest: recordings show no velocities.
        ends: (E,) index after each episode's last row.
        targets: (n, 2) px, what the agent was sent to in each row; None where they were not asked for.
    """

    name: str
    states: np.ndarray
    ends: np.ndarray
    targets: np.ndarray | None = None

    @property
    def digest(self) -> str:
        """A hash of all of it: other recordings are other tasks."""
        content = hashlib.sha256(np.ascontiguousarray(self.states).tobytes())
        content.update(np.ascontiguousarray(self.ends, np.int64).tobytes())
        return content.hexdigest()[:8]

    def pairs(self, apart: int, draws: list[np.random.Generator]) -> tuple[np.ndarray, np.ndarray]:
        """States `apart` rows apart in one episode, (n, STATE_SIZE) twice, one pair a generator: every pair alike.

        Raises:
            DataError: no episode is that long.
        """
        lengths = np.diff(self.ends, prepend=0)
        starts = np.concatenate(
            [np.arange(end - length, end - apart) for end, length in zip(self.ends, lengths, strict=True)]
        ).astype(int)
        if not len(starts):
            raise DataError(
                f"--demonstrations {self.name}: the longest of its {len(self.ends)} episodes has {lengths.max()} rows; "
                f"starts and goals lie {apart} apart."
            )
        rows = np.array([starts[int(rng.random() * len(starts))] for rng in draws])
        return self.states[rows], self.states[rows + apart]


def read_demonstrations(path: Path, option: str = "--demonstrations", *, targets: bool = False) -> Demonstrations:
    """Recorded episodes: a column `state` of agent x, y, block x, y (px) and angle (radians), and `episode_ends`.

    The layout of the diffusion policy's PushT recordings, as npz or as a Zarr folder (`data/state`,
    `meta/episode_ends`).

    Args:
        path: of the recordings.
        option: what named them, for messages.
        targets: also read `action`, the target of the agent (px) in each row.

    Raises:
        DataError: it is not there, is no log, has other columns, or numbers that are not finite.
        MissingExtraError: a format whose package is not installed.
    """
    said = f"{option} {path}"
    if not path.exists():
        raise DataError(f"{said}: there is no such file or folder.")
    raw = read_raw(path)
    found, ends = (np.asarray(raw.columns[raw.resolved(name)]) for name in ("state", "episode_ends"))
    expected = f"expected 'state' (n, {len(COLUMNS)}): {', '.join(COLUMNS)}"
    if found.ndim != 2 or found.shape[1] != len(COLUMNS) or not len(found):
        raise DataError(f"{said}: its 'state' has shape {found.shape}; {expected}.")
    if not np.isfinite(found).all():
        raise DataError(f"{said}: its 'state' has entries that are not finite; {expected}.")
    ends = ends.astype(np.int64).reshape(-1)
    if not len(ends) or np.any(np.diff(ends, prepend=0) < 1) or ends[-1] != len(found):
        raise DataError(f"{said}: its 'episode_ends' do not rise to the {len(found)} rows of 'state'.")
    states = np.zeros((len(found), STATE_SIZE))
    states[:, AGENT], states[:, BLOCK], states[:, ANGLE] = found[:, :2], found[:, 2:4], found[:, 4]
    sent = np.asarray(raw.columns[raw.resolved("action")], dtype=float) if targets else None
    if sent is not None and (sent.shape != (len(found), 2) or not np.isfinite(sent).all()):
        shape = "entries that are not finite" if sent.shape == (len(found), 2) else f"shape {sent.shape}"
        raise DataError(f"{said}: its 'action' has {shape}; expected ({len(found)}, 2), the targets x, y in px.")
    return Demonstrations(path.name, states, ends, sent)
