"""Logs of PushT in every layout that is read, out of pusht-still.parquet.

`python tests/recorded.py` makes the folders lerobot-v3 and lerobot-v2.1 of tests/data.

The columns are those of lerobot/pusht_keypoints: `observation.state` the agent, `observation.environment_state` eight
corners of the T, `action` the absolute target, all in px of gym-pusht's frame.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent / "data"
CENTRE = 256.0
CORNERS = np.array([[-60, 0], [60, 0], [60, 30], [15, 30], [15, 120], [-15, 120], [-15, 30], [-60, 30]], dtype=float)
"""Of the T about its body's origin, px."""
STATE = {
    "agent": {"from": "observation.state", "rep": "p", "unit": "px"},
    "corners": {"from": "observation.environment_state", "rep": "8xp", "unit": "px"},
}
SPEC: dict[str, Any] = {
    "dimension": 2,
    "episodes": {"index": "episode_index"},
    "centre": [CENTRE, CENTRE],
    "history": 1,
    "state": STATE,
    "action": {"target": {"from": "action", "rep": "p", "unit": "px"}},
}


def rows(episodes: int) -> dict[str, np.ndarray]:
    """The columns of the first so many episodes, float32."""
    table = pd.read_parquet(HERE / "pusht-still.parquet")
    table = table[table["episode"] < episodes]
    agent, block = (table[[f"{what}_x", f"{what}_y"]].to_numpy(float) for what in ("agent", "block"))
    cos, sin = np.cos(table["angle"].to_numpy(float)), np.sin(table["angle"].to_numpy(float))
    turn = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
    corners = block[:, None] + CORNERS @ turn.transpose(0, 2, 1)
    columns = {
        "observation.state": agent + CENTRE,
        "observation.environment_state": corners.reshape(len(table), -1) + CENTRE,
        "action": agent + table[["target_x", "target_y"]].to_numpy(float) + CENTRE,
    }
    return {
        **{name: values.astype(np.float32) for name, values in columns.items()},
        "episode_index": table["episode"].to_numpy(np.int64),
    }


def write_lerobot(folder: Path, version: str, episodes: int) -> Path:
    """A LeRobot folder, v2.1 (a file an episode) or v3.0."""
    columns = rows(episodes)
    episode, n = columns["episode_index"], len(columns["episode_index"])
    _, first = np.unique(episode, return_index=True)
    frame = np.arange(n) - first[episode]
    old = version == "v2.1"
    info = {
        "codebase_version": version,
        "robot_type": "2d pointer",
        "fps": 10,
        "total_episodes": episodes,
        "total_frames": n,
        "total_tasks": 1,
        "chunks_size": 1000,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
        if old
        else "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
        "features": {
            "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["motor_0", "motor_1"]}},
            "observation.environment_state": {"dtype": "float32", "shape": [16], "names": None},
            "action": {"dtype": "float32", "shape": [2], "names": {"motors": ["motor_0", "motor_1"]}},
            **{
                name: {"dtype": "int64", "shape": [1], "names": None}
                for name in ("episode_index", "frame_index", "index")
            },
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        },
    }
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info, indent=1) + "\n")
    table = pd.DataFrame({name: list(values) if values.ndim > 1 else values for name, values in columns.items()})
    table = table.assign(frame_index=frame, index=np.arange(n), timestamp=(frame / 10).astype(np.float32))
    parts = {f"episode_{k:06d}": table[episode == k] for k in range(episodes)} if old else {"file-000": table}
    (folder / "data" / "chunk-000").mkdir(parents=True)
    for name, part in parts.items():
        part.to_parquet(folder / "data" / "chunk-000" / f"{name}.parquet", compression="zstd", index=False)
    write_spec(folder / "reps.yaml", SPEC)
    return folder


def write_spec(path: Path, spec: dict[str, Any]) -> Path:
    """A reps.yaml; JSON is YAML."""
    path.write_text(json.dumps(spec, indent=1) + "\n")
    return path


def write(layout: str, folder: Path, episodes: int = 24) -> Path:
    """The same log in another layout, with its reps.yaml beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = rows(episodes)
    episode = columns["episode_index"]
    spec = SPEC
    if layout in ("v2.1", "v3.0"):
        return write_lerobot(folder / "log", layout, episodes)
    if layout == "npz":
        path = folder / "log.npz"
        np.savez(path, **columns)
    elif layout == "parquet":
        path = folder / "log.parquet"
        pd.DataFrame(
            {name: list(values) if values.ndim > 1 else values for name, values in columns.items()}
        ).to_parquet(path)
    elif layout == "csv":
        path = folder / "log.csv"
        wide = {
            f"{name}_{k}": values[:, k].astype(float)  # so that every digit is written
            for name, values in columns.items()
            if values.ndim > 1
            for k in range(values.shape[1])
        }
        pd.DataFrame({**wide, "episode_index": episode}).to_csv(path, index=False)
        spec = _from_columns({name: [key for key in wide if key.startswith(f"{name}_")] for name in columns})
    elif layout == "folder":
        path = folder / "episodes"
        path.mkdir()
        for k in range(episodes):
            np.savez(path / f"episode_{k}.npz", **{name: values[episode == k] for name, values in columns.items()})
        spec = {key: value for key, value in SPEC.items() if key != "episodes"}
        folder = path
    elif layout == "zarr":
        import zarr

        path = folder / "log.zarr"
        group = zarr.open_group(str(path), mode="w", zarr_format=2)
        for name, values in columns.items():
            group.create_array(name, data=values, chunks=(100, *values.shape[1:]))
    else:
        path = _write_minari(folder / "log", columns)
        spec = _from_columns(
            {
                "observation.state": "observations/state",
                "observation.environment_state": "observations/environment_state",
                "action": "actions",
            }
        )
        spec = {key: value for key, value in spec.items() if key != "episodes"}
    write_spec(folder / "reps.yaml", spec)
    return path


def _from_columns(named: dict[str, Any]) -> dict[str, Any]:
    """The specification with other columns."""
    spec: dict[str, Any] = json.loads(json.dumps(SPEC))
    for part in ("state", "action"):
        for entry in spec[part].values():
            entry["from"] = named[entry["from"]]
    return spec


def _write_minari(folder: Path, columns: dict[str, np.ndarray]) -> Path:
    """Minari's layout: an observation more than actions."""
    import h5py

    (folder / "data").mkdir(parents=True)
    with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
        for k in range(int(columns["episode_index"].max()) + 1):
            at = columns["episode_index"] == k
            group = file.create_group(f"episode_{k}")
            for name in ("state", "environment_state"):
                group[f"observations/{name}"] = columns[f"observation.{name}"][at]
            group["actions"] = columns["action"][at][:-1]
    return folder


if __name__ == "__main__":
    write_lerobot(HERE / "lerobot-v3", "v3.0", 120)
    write_lerobot(HERE / "lerobot-v2.1", "v2.1", 24)
