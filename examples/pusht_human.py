"""What the human demonstrations of PushT say of SO(2) and SE(2): as they are, turned, away from walls, and otherwise.

    python examples/pusht_human.py FOLDER

FOLDER holds `pusht_human.npz`: state (N, 5) of agent, block and angle, action (N, 2), episode_ends. Each line is one
`equiwm check-data`, on a log and a reps.yaml that are written into a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml

import equiwm
from equiwm.worlds.pusht.physics import STATE_SIZE, agent_inside, block_inside

REPS = Path(__file__).with_name("pusht-human.reps.yaml")
CENTRE = np.array([256.0, 256.0])
TURN = np.deg2rad(130.0)


def turned(log: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The whole log turned by 130 degrees about the centre."""
    c, s = np.cos(TURN), np.sin(TURN)
    rotation = np.array([[c, -s], [s, c]])
    state = log["state"].astype(np.float64)
    for part in (slice(0, 2), slice(2, 4)):
        state[:, part] = (state[:, part] - CENTRE) @ rotation.T + CENTRE
    state[:, 4] += TURN
    action = (log["action"].astype(np.float64) - CENTRE) @ rotation.T + CENTRE
    return {**log, "state": state, "action": action}


def away_from_walls(log: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The pieces of episodes in which neither block nor agent could meet a wall, however the scene is turned."""
    full = np.zeros((len(log["state"]), STATE_SIZE))
    full[:, 0:2], full[:, 4:6], full[:, 6] = log["state"][:, 0:2], log["state"][:, 2:4], log["state"][:, 4]
    inside = block_inside(full) & agent_inside(full)
    begins = np.zeros(len(inside), dtype=bool)
    begins[[0, *log["episode_ends"][:-1]]] = True
    begins[1:] |= inside[1:] & ~inside[:-1]
    piece = np.cumsum(begins)[inside]
    kept = {name: log[name][inside] for name in ("state", "action")}
    return {**kept, "episode_ends": np.append(np.flatnonzero(np.diff(piece)) + 1, len(piece))}


def main(folder: Path) -> None:
    """Print a table."""
    with np.load(folder / "pusht_human.npz") as file:
        log = {name: file[name] for name in ("state", "action", "episode_ends")}
    reps = yaml.safe_load(REPS.read_text(encoding="utf-8"))
    cases = {
        "as it is": (log, reps),
        "turned by 130 degrees": (turned(log), reps),
        "away from walls": (away_from_walls(log), reps),
        "without history": (log, {**reps, "history": 0}),
        "with two steps of history": (log, {**reps, "history": 2}),
    }
    print("| log | group | transitions | verdict | p | of the frame explained | statistic / critical, worst column |")
    print("|---|---|---:|---|---:|---:|---|")
    with tempfile.TemporaryDirectory() as name:
        path, spec = Path(name) / "log.npz", Path(name) / "reps.yaml"
        for case, (arrays, said) in cases.items():
            np.savez(path, **arrays)
            spec.write_text(yaml.safe_dump(said), encoding="utf-8")
            for group in ("so2", "se2"):
                found = equiwm.check_data(path, group, reps=spec)
                worst = max(found.channels, key=lambda each: each.statistic)
                print(
                    f"| {case} | {group} | {found.transitions:,} | {found.verdict} | {found.p_value:.3f} "
                    f"| {found.dependence:.0%} | {worst.statistic:.1f} / {worst.critical:.1f}, {worst.name} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
