"""Readers of logs: every layout gives the same episodes, and what is wrong is named with file, column and row."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equiwm.disk.safe_yaml import parse_yaml
from equiwm.errors import ConfigError, DataError, EquiwmError, RepError
from equiwm.logs.episodes import load_logs
from equiwm.logs.formats import read_raw
from equiwm.logs.guess import guess
from equiwm.logs.spec import parse_spec, text_of
from equiwm.logs.typed import quantities

LENGTHS = (5, 7, 4)
N = sum(LENGTHS)
SPEC = {
    "dimension": 2,
    "episodes": {"index": "episode"},
    "state": {"place": {"from": "state", "entries": [0, 1], "rep": "p", "unit": "m"}},
    "action": {"push": {"from": "action", "rep": "1o"}},
}
EPISODE = np.repeat(np.arange(3), LENGTHS)


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {"state": rng.normal(size=(N, 3)), "action": rng.normal(size=(N, 2))}


def spec(**changes: object):
    return parse_spec({**SPEC, **changes}, "reps.yaml")


def write_npz(path: Path, **changes: np.ndarray) -> Path:
    np.savez(path, **{**arrays(), "episode": EPISODE, **changes})
    return path


def write_minari(folder: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    (folder / "data").mkdir(parents=True)
    data, ends = arrays(), np.cumsum(LENGTHS)
    with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
        for k in (2, 0, 1):  # groups come in the order of their names, episode_10 before episode_2
            rows = slice(ends[k] - LENGTHS[k], ends[k])
            group = file.create_group(f"episode_{k * 5}")
            group["observations/place"] = data["state"][rows]
            group["actions"] = data["action"][rows][:-1]
            group["rewards"] = np.zeros(LENGTHS[k] - 1)
    return folder


def write_lerobot(folder: Path, version: str) -> Path:
    pytest.importorskip("pyarrow")
    data, old = arrays(), version.startswith("v2")
    info = {
        "codebase_version": version,
        "fps": 10,
        "total_episodes": 3,
        "total_frames": N,
        "chunks_size": 2,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
        if old
        else "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "features": {"observation.state": {"dtype": "float32", "shape": [3], "names": {"axes": ["x", "y", "c"]}}},
    }
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    whole = pd.DataFrame(
        {"observation.state": list(data["state"]), "action": list(data["action"]), "episode_index": EPISODE}
    )
    # v3: an episode may end in the middle of a file, and a file may end in the middle of an episode
    cuts = [(f"data/chunk-{k // 2:03d}/episode_{k:06d}.parquet", k == EPISODE) for k in range(3)]
    if not old:
        cuts = [(f"data/chunk-000/file-{k:03d}.parquet", np.arange(N) // 9 == k) for k in range(2)]
    for name, rows in cuts:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        whole[rows].to_parquet(folder / name)
    return folder


def written(layout: str, tmp_path: Path) -> tuple[Path, dict[str, object]]:
    """A log in a layout, and how its specification differs."""
    data = arrays()
    table = {f"s{k}": data["state"][:, k] for k in range(3)} | {f"a{k}": data["action"][:, k] for k in range(2)}
    columns = {
        "state": {"place": {"from": ["s0", "s1"], "rep": "p", "unit": "m"}},
        "action": {"push": {"from": ["a0", "a1"], "rep": "1o"}},
    }
    if layout == "npz":
        return write_npz(tmp_path / "log.npz"), {}
    if layout == "csv":
        pd.DataFrame({"episode": EPISODE, "note": "a", **table}).to_csv(tmp_path / "log.csv", index=False)
        return tmp_path / "log.csv", columns
    if layout == "parquet":
        pytest.importorskip("pyarrow")
        frame = pd.DataFrame({"state": list(data["state"]), "action": list(data["action"]), "episode": EPISODE})
        frame.to_parquet(tmp_path / "log.parquet")
        return tmp_path / "log.parquet", {}
    if layout == "zarr":
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(str(tmp_path / "log.zarr"), mode="w", zarr_format=2)
        for name, values in data.items():
            group.create_array(f"data/{name}", data=values, chunks=(4, values.shape[1]))
        group.create_array("meta/episode_ends", data=np.cumsum(LENGTHS))
        return tmp_path / "log.zarr", {"episodes": {"ends": "episode_ends"}}
    if layout == "zarr3":
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(str(tmp_path / "log.zarr"), mode="w", zarr_format=3)
        for name, values in data.items():
            group.create_array(name, data=values)
        group.create_array("episode", data=EPISODE)
        return tmp_path / "log.zarr", {}
    if layout == "minari":
        state = {"place": {"from": "observations/place", "entries": [0, 1], "rep": "p"}}
        action = {"push": {"from": "actions", "rep": "1o"}}
        return write_minari(tmp_path / "log"), {"episodes": None, "state": state, "action": action}
    if layout == "d4rl":
        h5py = pytest.importorskip("h5py")
        ends = np.isin(np.arange(N), np.cumsum(LENGTHS) - 1)
        with h5py.File(tmp_path / "log.h5", "w") as file:
            file["observations"], file["actions"] = data["state"], data["action"]
            file["terminals"], file["timeouts"] = ends & (EPISODE == 0), ends & (EPISODE > 0)
        state = {"place": {"from": "observations", "entries": [0, 1], "rep": "p"}}
        action = {"push": {"from": "actions", "rep": "1o"}}
        return tmp_path / "log.h5", {"episodes": {"done": ["terminals", "timeouts"]}, "state": state, "action": action}
    state = {"place": {"from": "observation.state", "entries": [0, 1], "rep": "p"}}
    return write_lerobot(tmp_path / "log", layout), {"episodes": {"index": "episode_index"}, "state": state}


@pytest.mark.parametrize("layout", ["npz", "csv", "parquet", "zarr", "zarr3", "minari", "d4rl", "v2.0", "v2.1", "v3.0"])
def test_every_layout_gives_the_same_episodes(layout, tmp_path):
    path, changes = written(layout, tmp_path)
    logs = load_logs(path, spec(**changes))
    data, last = arrays(), np.isin(np.arange(N), np.cumsum(LENGTHS) - 1)
    assert logs.episodes == 3
    np.testing.assert_array_equal(logs.episode, EPISODE)
    np.testing.assert_array_equal(logs.transitions(), np.flatnonzero(~last))
    np.testing.assert_allclose(logs.state["place"], data["state"][:, :2], rtol=1e-12)
    np.testing.assert_allclose(logs.action["push"][~last], data["action"][~last], rtol=1e-12)
    if layout.startswith("v"):
        assert logs.rate == 10.0


@pytest.mark.parametrize("layout", ["npz", "csv", "parquet", "zarr", "minari", "d4rl", "v2.1", "v3.0"])
def test_a_guess_can_be_read_back(layout, tmp_path):
    """It names actions and episodes, and says where it is unsure."""
    path, _ = written(layout, tmp_path)
    text = guess(path)
    found = parse_spec(parse_yaml(text, "guess"), "guess")
    assert found.state
    assert (found.episodes is None) == (layout == "minari")
    if layout != "csv":  # s0, a0 say nothing
        assert found.action
        assert all("action" in name for entry in found.action for name in entry.sources)
    assert parse_spec(parse_yaml(text_of(found), "again"), "again") == found


def test_a_guess_groups_axes_and_knows_kinds(tmp_path):
    names = ["block_pos_x", "block_pos_y", "block_pos_z", "vel_x", "vel_y", "vel_z", "action_x", "action_y", "action_z"]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 9)), columns=names).assign(
        episode=1, reward=0.0, t=1.0
    )
    frame.to_csv(tmp_path / "log.csv", index=False)
    found = parse_spec(parse_yaml(guess(tmp_path / "log.csv"), "guess"), "guess")
    assert {entry.name: (entry.rep, len(entry.sources)) for entry in found.state} == {
        "block_pos": ("p", 3),
        "vel": ("1o", 3),
    }
    assert [entry.name for entry in found.action] == ["action"]
    assert found.episodes == ("index", ("episode",))
    assert found.time == "t"


def refused(path: Path, *words: str, **changes: object) -> None:
    with pytest.raises(EquiwmError) as caught:
        load_logs(path, spec(**changes))
    said = str(caught.value)
    assert len(said) < 500
    for word in (path.name, *words):
        assert word in said, said


def test_what_is_wrong_is_named_with_column_and_row(tmp_path):
    data = arrays()
    bad = data["state"].copy()
    bad[6, 1] = np.nan
    refused(write_npz(tmp_path / "nan.npz", state=bad), "'place'", "row 6", "nan")
    refused(write_npz(tmp_path / "one.npz", episode=np.zeros(N)), "one episode")
    refused(write_npz(tmp_path / "none.npz"), "no actions", action={})
    missing = {"push": {"from": "acton", "rep": "1o"}}
    refused(write_npz(tmp_path / "missing.npz"), "'acton'", "action", action=missing)
    refused(write_npz(tmp_path / "short.npz", action=data["action"][:-1]), "unequal lengths", "16", "15")
    twice = {name: values.copy() for name, values in data.items()}
    for values in twice.values():
        values[9] = values[8]
    refused(write_npz(tmp_path / "twice.npz", **twice), "row 9", "duplicated", "1 such")
    kept = load_logs(tmp_path / "twice.npz", spec(duplicates="keep"))
    dropped = load_logs(tmp_path / "twice.npz", spec(duplicates="drop"))
    assert len(kept.transitions()) == N - 3
    assert len(dropped.transitions()) == N - 4
    assert "repeat" in dropped.notes[0]
    refused(write_npz(tmp_path / "torn.npz", episode=np.roll(EPISODE, 2)), "row 14", "goes on")
    refused(write_npz(tmp_path / "ends.npz"), "ends of episodes", episodes={"ends": "episode"})
    refused(write_npz(tmp_path / "where.npz"), "where do episodes end", episodes=None)
    refused(tmp_path / "nothing.npz", "no such log")
    refused(
        write_npz(tmp_path / "entry.npz"), "entry 7", state={"place": {"from": "state", "entries": [7], "rep": "0e"}}
    )


def test_time_that_runs_backwards_is_refused_and_dropped_frames_are_left_out(tmp_path):
    time = np.concatenate([np.arange(length) * 0.1 for length in LENGTHS])
    time[2:5] += 0.3
    logs = load_logs(write_npz(tmp_path / "gap.npz", time=time), spec(time="time"))
    assert len(logs.transitions()) == N - 4
    assert "dropped" in logs.notes[0]
    assert logs.rate == pytest.approx(10.0)
    time[7] = time[6]
    refused(write_npz(tmp_path / "back.npz", time=time), "'time'", "row 7", time="time")


def walk(factor: float, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    state = rng.normal(size=(400, 3)).cumsum(0) * 0.02 + 1.0
    state[rows] *= factor
    return state, rng.normal(size=(400, 2))


@pytest.mark.parametrize(("factor", "row"), [(57.3, 200), (0.001, 300)])
def test_a_unit_that_jumps_is_refused(factor, row, tmp_path):
    state, action = walk(factor, slice(row, 400))
    path = write_npz(tmp_path / "jump.npz", state=state, action=action, episode=np.arange(400) // 40)
    refused(path, "'place'", "unit jumps", "factor")
    load_logs(path, spec(jumps="allow"))


def test_a_thing_that_comes_to_rest_has_no_jumping_unit(tmp_path):
    state, action = walk(1.0, slice(0, 0))
    state[200:] = state[200] + 1e-5 * state[200:]
    action[200:] *= 1e-3
    path = write_npz(tmp_path / "rest.npz", state=state, action=action, episode=np.arange(400) // 40)
    with pytest.raises(DataError, match="'push'"):  # the action's scale does jump
        load_logs(path, spec())
    path = write_npz(
        tmp_path / "rest2.npz", state=state, action=walk(1.0, slice(0, 0))[1], episode=np.arange(400) // 40
    )
    load_logs(path, spec())


def test_history_takes_rows_before(tmp_path):
    logs = load_logs(write_npz(tmp_path / "log.npz"), spec(history=2))
    assert len(logs.transitions()) == sum(length - 3 for length in LENGTHS)
    assert all(EPISODE[t - 2] == EPISODE[t + 1] for t in logs.transitions())


def test_angles_quaternions_and_points_become_typed(tmp_path):
    state = np.tile([10.0, 20.0, 90.0], (N, 1)) + np.arange(N)[:, None]
    path = write_npz(tmp_path / "log.npz", state=state)
    columns = {
        "place": {"from": "state", "entries": [0, 1], "rep": "p"},
        "turn": {"from": "state", "entries": [2], "rep": "angle", "unit": "deg"},
    }
    found, _ = quantities(load_logs(path, spec(state=columns, centre=[10, 20])))
    np.testing.assert_allclose(found[0].values[0].numpy(), [0.0, 0.0])
    np.testing.assert_allclose(found[1].values[0].numpy(), [0.0, 1.0], atol=1e-12)
    with pytest.raises(RepError, match="'place' has 2 entries"):
        quantities(load_logs(path, spec(state={"place": {"from": "state", "entries": [0, 1], "rep": "2x1o"}})))
    quat = np.tile([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)], (N, 1))
    quat[:, 1] = np.arange(N) * 1e-4
    other = {"dimension": 3, "action": {"push": {"from": "action", "rep": "2x0e"}}}
    columns = {"pose": {"from": "state", "rep": "quat", "order": "wxyz"}}
    found, _ = quantities(load_logs(write_npz(tmp_path / "quat.npz", state=quat), spec(state=columns, **other)))
    np.testing.assert_allclose(found[0].values[0].numpy(), [0, 1, 0, -1, 0, 0, 0, 0, 1], atol=1e-12)
    with pytest.raises(DataError, match="norm 2"):
        quantities(load_logs(write_npz(tmp_path / "quat2.npz", state=2 * quat), spec(state=columns, **other)))


def test_a_specification_that_is_wrong_names_the_key():
    for changes, words in (
        ({"dimension": 4}, "dimension"),
        ({"stat": {}}, "'stat'"),
        ({"state": None}, "state is missing"),
        ({"state": {"place": {"from": "state", "rp": "p"}}}, "state.place"),
        ({"episodes": {"until": "x"}}, "until"),
        ({"centre": [1, 2, 3]}, "centre"),
        ({"history": 99}, "history"),
        ({"action": {"place": {"from": "action", "rep": "p"}}}, "'place'"),
    ):
        with pytest.raises(ConfigError, match=words):
            spec(**changes)


# What a stranger may have made


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    """A header that promises terabytes, and one that promises less than the member holds."""
    import io

    def member(shape: tuple[int, ...], content: bytes) -> bytes:
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
        return stream.getvalue() + content

    for name, entry in (("huge", member((2**40, 4), b"")), ("long", member((2, 2), b"\0" * 10**6))):
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("state.npy", entry)
        refused(tmp_path / f"{name}.npz", "'state.npy'")
    (tmp_path / "text.npz").write_text("no archive")
    refused(tmp_path / "text.npz", "no npz")
    np.savez(tmp_path / "pickle.npz", state=np.array([{}], dtype=object), allow_pickle=True)
    refused(tmp_path / "pickle.npz", "'state'")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "log.npz")
    refused(tmp_path / "log.npz", "a pipe")


def test_a_truncated_parquet_is_refused(tmp_path):
    path, _ = written("parquet", tmp_path)
    whole = path.read_bytes()
    for length in (len(whole) // 2, 40, 0):
        path.write_bytes(whole[:length])
        refused(path, "cut off")


def test_vectors_of_unequal_lengths_are_refused(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {"state": [[1.0, 2.0]] * 5 + [[1.0]], "action": [[1.0, 2.0]] * 6, "episode": [0, 0, 0, 1, 1, 1]}
    )
    frame.to_parquet(tmp_path / "log.parquet")
    refused(tmp_path / "log.parquet", "'state'", "row 5")


def test_a_cell_of_text_is_named(tmp_path):
    (tmp_path / "log.csv").write_text("episode,x\n0,1.5\n0,oops\n1,2\n")
    refused(tmp_path / "log.csv", "'x'", "row 1", "oops")


def test_lerobot_with_a_file_that_is_missing_or_leads_out(tmp_path):
    folder = write_lerobot(tmp_path / "log", "v2.1")
    changes = {"episodes": {"index": "episode_index"}, "state": {"place": {"from": "observation.state", "rep": "3x0e"}}}
    (folder / "data" / "chunk-001" / "episode_000002.parquet").unlink()
    refused(folder, "episode_000002.parquet", **changes)
    info = json.loads((folder / "meta" / "info.json").read_text())
    for template in ("../{episode_index}.parquet", "/{episode_index}.parquet", "{episode_index.real}.parquet"):
        (folder / "meta" / "info.json").write_text(json.dumps({**info, "data_path": template}))
        refused(folder, "data_path", **changes)
    folder = write_lerobot(tmp_path / "new", "v3.0")
    (folder / "data" / "chunk-000" / "file-001.parquet").unlink()
    refused(folder, "16 in meta/info.json", **changes)


def test_zarr_that_asks_for_pickle_is_refused(tmp_path):
    path, changes = written("zarr", tmp_path)
    metadata = json.loads((path / "data" / "state" / ".zarray").read_text())
    metadata["filters"] = [{"id": "pickle", "protocol": 5}]
    (path / "data" / "state" / ".zarray").write_text(json.dumps(metadata))
    refused(path, "pickle", **changes)
    metadata.update(filters=None, shape=[2**40, 3])
    (path / "data" / "state" / ".zarray").write_text(json.dumps(metadata))
    refused(path, "numbers", **changes)


def test_hdf5_links_are_not_followed(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.zeros(3)
    with h5py.File(tmp_path / "log.h5", "w") as file:
        file["observations"] = h5py.ExternalLink("other.h5", "secret")
    refused(tmp_path / "log.h5", "a link")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "other.h5").read_bytes()[:600])
    refused(tmp_path / "cut.h5", "cut.h5")


def test_an_unknown_ending_lists_the_known(tmp_path):
    (tmp_path / "log.pkl").write_bytes(b"")
    with pytest.raises(DataError, match=r"\.npz, \.csv"):
        read_raw(tmp_path / "log.pkl")
    with pytest.raises(DataError, match="neither"):
        read_raw(tmp_path)
