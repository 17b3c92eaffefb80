"""Probes of what others' tools hold: an exact one of each passes, a planted break fails, wrong input is one line."""

from __future__ import annotations

import math
from dataclasses import dataclass

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equiwm.adapters.batches import in_calls
from equiwm.adapters.exported import exported_probe
from equiwm.adapters.gymnasium import policy_probe
from equiwm.adapters.huggingface import forward_probe
from equiwm.adapters.images import OnPixels, drawn_probe, field_rep, image_probe, on_pixels, regular
from equiwm.adapters.packages import imported
from equiwm.audit.audit import audit
from equiwm.audit.probe import Probe
from equiwm.errors import DataError, GroupError, MissingExtraError, RepError
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import SCALAR
from equiwm.symmetry.laws import check_rep
from equiwm.symmetry.reps import Rep


def verdict(probe, **options):
    return audit(probe, elements=8, **options).verdict


class Vectors(nn.Module):
    """(B, 4, 3) vectors to (B, 2, 3): weights that depend on lengths; `broken` sees the x axis."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 8))
        self.broken = broken

    def forward(self, x: Tensor) -> Tensor:
        lengths = x.square().sum(-1) + (0.1 * x[..., 0] if self.broken else 0.0)
        return self.inner(lengths).unflatten(-1, (2, 4)) @ x


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


BATCH = torch.randn(12, 4, 3, generator=torch.Generator().manual_seed(0))


# What calculators are like: float64 in, float32 inside, features of no channels


class Inside(nn.Module):
    """Takes float64, as calculators do, and computes in float32 whatever it is given."""

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.inner, self.empty = Vectors(broken), nn.Linear(3, 0)

    def forward(self, x: Tensor) -> Tensor:
        short = torch.as_tensor(x.numpy(), dtype=torch.float32)
        self.empty(short)
        return self.inner(short).double()


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_network_that_takes_float64_and_computes_in_float32(broken):
    """With its weights cast to float64 it raises; it is called as it is."""
    result = audit(Probe(Inside(broken), BATCH.double(), "o3", takes="4x1o", gives="2x1o"), elements=8)
    assert result.verdict == ("broken" if broken else "precision-limited")
    assert broken == any(layer.name.startswith("inner") for layer in result.layers)


def test_a_model_that_raises_says_its_own_words():
    class Raises(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            raise ValueError(f"no {self.inner.weight.dtype}")

    with pytest.raises(DataError, match=r"no torch\.float64"):
        audit(Probe(Raises(), BATCH.double(), "o3", takes="4x1o", gives="2x1o"), elements=4)


# Exported programs and ONNX: what was exported with one batch size takes no other


@pytest.mark.parametrize(
    ("rows", "broken"), [(1, False), (6, True), (6, False), (12, True), (None, False), (None, True)]
)
def test_an_exported_program(rows, broken, tmp_path):
    dynamic = ({0: torch.export.Dim("batch")},) if rows is None else None
    program = torch.export.export(Vectors(broken).eval(), (BATCH[: rows or 5],), dynamic_shapes=dynamic)
    if rows == 6:
        torch.export.save(program, tmp_path / "net.pt2")
        program = tmp_path / "net.pt2"
    probe = exported_probe(program, BATCH, "o3", takes="4x1o", gives="2x1o")
    assert len(probe.samples) == {1: 12, 6: 2, 12: 1, None: 1}[rows]
    assert verdict(probe) == ("broken" if broken else "exact")


@pytest.mark.parametrize("broken", [False, True])
def test_a_traced_module_with_a_fixed_batch(broken, tmp_path):
    class Fixed(Vectors):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.reshape(6, 4, 3))

    traced = torch.jit.trace(Fixed(broken).eval(), BATCH[:6])
    traced.save(str(tmp_path / "net.pt"))
    probe = exported_probe(tmp_path / "net.pt", BATCH, "o3", "4x1o", "2x1o", shapes=[(6, 4, 3)])
    assert len(probe.samples) == 2
    assert verdict(probe) == ("broken" if broken else "exact")


def test_a_program_of_single_samples_is_called_with_single_samples():
    program = torch.export.export(Vectors().eval(), (BATCH[0],))
    probe = exported_probe(program, BATCH, "o3", takes="4x1o", gives="2x1o")
    assert [tuple(sample.shape) for sample in probe.samples] == [(4, 3)] * 12
    assert verdict(probe) == "exact"


def test_wrong_input_of_programs(tmp_path):
    program = torch.export.export(Vectors().eval(), (BATCH[:7],))
    with pytest.raises(DataError, match="exported with 7 rows a call; got 12: give a multiple of 7"):
        exported_probe(program, BATCH, "o3", "4x1o", "2x1o")
    with pytest.raises(
        DataError, match=r"sample 1: it was exported with inputs of shape \(7, 4, 3\); got it \(6, 4, 3\)"
    ):
        exported_probe(program, [BATCH[:7], BATCH[:6]], "o3", "4x1o", "2x1o")
    with pytest.raises(DataError, match=r"expected with|exported with inputs of shape"):
        exported_probe(program, BATCH[..., None, None], "o3", "4x1o", "2x1o")
    with pytest.raises(DataError, match="there is no file"):
        exported_probe(tmp_path / "none.pt2", BATCH, "o3", "4x1o", "2x1o")
    (tmp_path / "bad.pt2").write_text("nothing")
    with pytest.raises(DataError, match="torch cannot read it"):
        exported_probe(tmp_path / "bad.pt2", BATCH, "o3", "4x1o", "2x1o")
    with pytest.raises(DataError, match="got Vectors, expected a file, an ExportedProgram"):
        exported_probe(Vectors(), BATCH, "o3", "4x1o", "2x1o")
    assert in_calls(BATCH, [(None, 4, 3)], "it") is BATCH


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("rows", [1, 6, None])
def test_an_onnx_model(broken, rows, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from equiwm.adapters.onnx import session_probe

    file = tmp_path / "net.onnx"
    free = None if rows else {"x": {0: "batch"}, "y": {0: "batch"}}
    torch.onnx.export(
        Vectors(broken).eval(), (BATCH[: rows or 5],), str(file), dynamo=False, input_names=["x"], output_names=["y"],
        dynamic_axes=free,
    )  # fmt: skip
    probe = session_probe(file, BATCH.double(), "o3", takes="4x1o", gives={"y": "2x1o"})
    assert len(probe.samples) == {1: 12, 6: 2, None: 1}[rows]
    result = audit(probe, elements=8)
    assert result.verdict == ("broken" if broken else "exact")
    assert not result.float64
    with pytest.raises(RepError, match="gives names z; the model has y"):
        session_probe(file, BATCH, "o3", takes="4x1o", gives={"z": "2x1o"})
    with pytest.raises(DataError, match="inputs: got z; the model takes x"):
        session_probe(file, {"z": BATCH}, "o3", takes="4x1o", gives="2x1o")
    (tmp_path / "bad.onnx").write_text("nothing")
    with pytest.raises(DataError, match="onnxruntime cannot read it"):
        session_probe(tmp_path / "bad.onnx", BATCH, "o3", takes="4x1o", gives="2x1o")


@pytest.mark.parametrize(("said", "told"), [("", "ValueError"), ("\n  bad magic\nmore", "bad magic")])
def test_what_a_reader_says_in_no_words_or_in_many_is_one_line(tmp_path, monkeypatch, said, told):
    runtime = pytest.importorskip("onnxruntime")
    from equiwm.adapters.onnx import session_probe

    def refuses(*_, **__):
        raise ValueError(said)

    monkeypatch.setattr(runtime, "InferenceSession", refuses)
    (tmp_path / "bad.onnx").write_text("nothing")
    with pytest.raises(DataError, match=f"onnxruntime cannot read it: {told}$"):
        session_probe(tmp_path / "bad.onnx", BATCH, "o3", takes="4x1o", gives="2x1o")


def test_a_package_that_is_missing():
    with pytest.raises(MissingExtraError, match="it needs no-such: pip install no-such"):
        imported("no_such_package", "no-such", "it")


# Keyword arguments and named outputs


@dataclass
class Output:
    last_hidden_state: Tensor
    energy: Tensor
    attentions: Tensor | None = None


class Forward(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.inner = Vectors(broken)

    def forward(self, coordinates: Tensor, token_ids: Tensor, scale: float = 1.0, return_dict: bool = True) -> Output:
        made = scale * self.inner(coordinates)
        return Output(made, made.square().sum((-1, -2)) + token_ids.sum(-1))


@pytest.mark.parametrize("broken", [False, True])
def test_a_forward_with_keywords(broken):
    inputs = {"coordinates": BATCH, "token_ids": torch.randint(0, 5, (12, 4))}
    probe = forward_probe(
        Forward(broken), inputs, "o3",
        takes={"coordinates": "4x1o", "token_ids": "same"},
        gives={"last_hidden_state": "2x1o", "energy": "0e"}, return_dict=True,
    )  # fmt: skip
    result = audit(probe, elements=8)
    assert result.verdict == ("broken" if broken else "exact")
    assert result.parameters > 0
    assert broken == any(cause.name == "the layer" for cause in result.causes)


def test_wrong_keywords():
    takes, gives = {"coordinates": "4x1o", "token_ids": "same"}, {"energy": "0e"}
    with pytest.raises(DataError, match="no argument 'coords', did you mean coordinates"):
        forward_probe(Forward(False), {"coords": BATCH}, "o3", takes, gives)
    with pytest.raises(DataError, match="no argument 'return_dct'"):
        forward_probe(Forward(False), {"coordinates": BATCH}, "o3", takes, gives, return_dct=True)
    with pytest.raises(DataError, match="got Tensor, expected arrays by argument"):
        forward_probe(Forward(False), BATCH, "o3", takes, gives)
    with pytest.raises(DataError, match="'scale' is among the inputs and among the options"):
        forward_probe(Forward(False), {"scale": BATCH}, "o3", takes, gives, scale=2.0)


def test_a_model_output_of_transformers():
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_outputs import BaseModelOutput

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Vectors()

        def forward(self, inputs_embeds: Tensor) -> BaseModelOutput:
            return BaseModelOutput(last_hidden_state=self.inner(inputs_embeds))

    inputs = transformers.BatchEncoding({"inputs_embeds": BATCH})
    probe = forward_probe(Model(), inputs, "o3", {"inputs_embeds": "4x1o"}, {"last_hidden_state": "2x1o"})
    assert verdict(probe) == "exact"


# A policy


class Reach(gymnasium.Env):
    """A point that is pushed to a goal in the plane."""

    observation_space = gymnasium.spaces.Dict(
        {"arm": gymnasium.spaces.Box(-1.0, 1.0, (4,)), "goal": gymnasium.spaces.Box(-1.0, 1.0, (2,)),
         "phase": gymnasium.spaces.Discrete(3)}
    )  # fmt: skip
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action):
        self.steps += 1
        return self._seen(), 0.0, self.steps == 10, False, {}

    def _seen(self):
        draw = self.np_random.uniform
        return {"arm": draw(-1, 1, 4).astype("f4"), "goal": draw(-1, 1, 2).astype("f4"), "phase": self.steps % 3}


class Policy:
    """A step towards the goal of a size that depends on the distance; `clip` is the box of the actions."""

    def __init__(self, clip: bool) -> None:
        self.clip = clip

    def predict(self, observation, deterministic=False):
        assert deterministic
        way = observation["goal"] - observation["arm"][:2] + 0.3 * observation["arm"][2:]
        made = way * (1 + observation["phase"]) / (1 + np.square(way).sum())
        return (np.clip(made, -0.3, 0.3) if self.clip else made), None


REPS = {"arm": "2x1o", "goal": "1o", "phase": "same"}


@pytest.mark.parametrize("env", [Reach(), (Reach.observation_space, Reach.action_space)], ids=["env", "spaces"])
def test_a_policy(env):
    assert verdict(policy_probe(Policy(False), env, "o2", REPS, "1o", samples=12, deterministic=True)) == "exact"
    assert verdict(policy_probe(Policy(True), env, "o2", REPS, "1o", samples=12, deterministic=True)) == "broken"
    once, again = (policy_probe(Policy(False), env, "o2", REPS, "1o", samples=9, seed=3).samples for _ in range(2))
    assert all(np.array_equal(a["arm"], b["arm"]) for a, b in zip(once, again, strict=True))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"observation": {**REPS, "arm": "3x1o"}}, RepError, r"rep 3x1o on a leaf of shape \(4,\)"),
        ({"observation": {**REPS, "hand": "1o"}}, RepError, "its space has no hand; it has arm, goal, phase"),
        ({"observation": {"arm": "2x1o"}}, RepError, "nothing is said of goal of the space"),
        ({"action": "2x1o"}, RepError, r"rep 2x1o on a leaf of shape \(2,\)"),
        ({"action": "same"}, RepError, "expected the rep of one at least"),
        ({"policy": 3}, DataError, "expected a callable or an object with predict"),
        ({"env": (3, 4)}, DataError, "observation space: got int"),
        ({"observations": []}, DataError, "got none"),
        (
            {"observations": [{"arm": np.zeros(4), "goal": np.zeros(3), "phase": 1}]},
            DataError,
            r"goal: got shape \(3,\)",
        ),
        ({"env": (Reach.observation_space, gymnasium.spaces.Discrete(4))}, RepError, "judge the logits"),
    ],
)
def test_wrong_policies(change, error, words):
    given = {"policy": Policy(False), "env": Reach(), "group": "o2", "observation": REPS, "action": "1o", **change}
    with pytest.raises(error, match=words):
        policy_probe(**given)


# Images


def turned_filters(filters: Tensor) -> Tensor:
    """(out, in, k, k) to (4 out, in, k, k): each filter at four quarter turns."""
    return torch.stack([filters.rot90(k, (-2, -1)) for k in range(4)], 1).flatten(0, 1)


class Quarter(nn.Module):
    """A lifting convolution of C_4, tanh, and what is read off it; `broken` turns one filter less."""

    def __init__(self, gives: str, broken: bool = False) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.randn(3, 2, 5, 5) / 5)
        self.gives, self.broken = gives, broken

    def forward(self, images: Tensor) -> Tensor:
        filters = turned_filters(self.filters)
        if self.broken:
            filters = torch.cat([filters[:-1], filters[-2:-1]])
        fields = torch.tanh(nn.functional.conv2d(images, filters, padding=2))  # (B, 3 x 4, n, n)
        if self.gives == "fields":
            return fields
        means = fields.mean((-1, -2)).unflatten(1, (3, 4))
        return means.flatten(1) if self.gives == "regular" else means.square().sum(-1)


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("gives", ["fields", "regular", "invariants"])
def test_images_under_quarter_turns(gives, broken):
    rep = {
        "fields": on_pixels(Rep([(3, regular(4))], 2), 9),
        "regular": Rep([(3, regular(4))], 2),
        "invariants": "3x0e",
    }[gives]
    probe = image_probe(Quarter(gives, broken), torch.randn(12, 2, 9, 9), "c4", rep)
    assert verdict(probe) == ("broken" if broken else "exact")


def test_pixels_turn_as_rot90_and_reps_keep_the_laws():
    group = Group.parse("c4")
    g = group.sample(16, 0)
    image = torch.randn(5, 5, dtype=torch.float64)
    for k in range(len(g)):
        turns = round(math.atan2(float(g[k].linear[1, 0]), float(g[k].linear[0, 0])) / (math.pi / 2))
        made = on_pixels(1, 5).transform(image.reshape(1, 25), g[k]).reshape(5, 5)
        assert torch.equal(made, image.rot90(turns, (0, 1)))
    check_rep(on_pixels(Rep([(2, regular(4)), (1, SCALAR)], 2), 4), group)
    check_rep(on_pixels(Rep.parse("1o", 2), 5), Group.parse("d4"))


class Eight(nn.Module):
    """A lifting convolution of C_8: a filter that is drawn at eight angles, radial bumps and an angular wave."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__()
        steps = torch.arange(11, dtype=torch.float64) - 5
        down, right = torch.meshgrid(steps, steps, indexing="ij")
        radius, angle = torch.hypot(right, down), torch.atan2(-down, right)
        ring = torch.exp(-((radius - 2.5) ** 2) / 2)
        turns = [k * math.pi / 4 for k in range(8)]
        bank = torch.stack(
            [ring * (1 + torch.cos(angle - turn) + 0.5 * torch.sin(2 * (angle - turn))) for turn in turns]
        )
        bank[3] *= 1.5 if broken else 1.0
        self.register_buffer("filters", (bank / ring.sum()).float()[:, None])

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(nn.functional.conv2d(images, self.filters, padding=5)).square().mean((-1, -2))


def test_images_under_eighth_turns_are_approximate_on_a_grid():
    gives = Rep([(1, regular(8))], 2)
    result = audit(drawn_probe(Eight(), "c8", gives, samples=12), elements=8)
    assert result.verdict == "approximate"
    assert result.leaves[0].residual < 0.01
    assert verdict(drawn_probe(Eight(broken=True), "c8", gives, samples=12)) == "broken"


def test_wrong_images():
    with pytest.raises(GroupError, match="quarter turns"):
        image_probe(Quarter("invariants"), torch.randn(4, 2, 9, 9), "c8", "3x0e")
    with pytest.raises(DataError, match=r"got \(4, 2, 9, 8\), expected a tensor"):
        image_probe(Quarter("invariants"), torch.randn(4, 2, 9, 8), "c4", "3x0e")
    with pytest.raises(RepError, match="images are of the plane"):
        on_pixels(Rep.parse("1o", 3), 9)
    with pytest.raises(GroupError, match="turns by 360/4"):
        check_rep(Rep([(1, regular(4))], 2), Group.parse("c8"))
    with pytest.raises(DataError, match="got int, expected an escnn FieldType"):
        field_rep(3)
    assert OnPixels(SCALAR, 3).name == "0e@3"


# Graph data


class Graph(nn.Module):
    """Messages along the edges of graph data; `broken` sees the x axis."""

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.weight = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 1))
        self.broken = broken

    def forward(self, data) -> dict[str, Tensor]:
        here, there = data.edge_index
        apart = data.pos[here] - data.pos[there]
        size = apart.square().sum(-1, keepdim=True) + (apart[:, :1] if self.broken else 0.0)
        gate = self.weight(torch.cat([size, data.x[here], data.x[there]], -1))
        made = torch.zeros_like(data.pos).index_add(0, here, gate * apart)
        return {"velocity": made, "energy": made.square().sum()}


def graphs(kind):
    found = []
    for n in range(4, 10):
        edges = torch.combinations(torch.arange(n)).T
        found.append(kind(pos=torch.randn(n, 3), x=torch.randn(n, 1), edge_index=torch.cat([edges, edges.flip(0)], 1)))
    return found


@pytest.mark.parametrize("broken", [False, True])
def test_graph_data_of_torch_geometric(broken):
    data = pytest.importorskip("torch_geometric.data")
    single = graphs(data.Data)
    batch = [data.Batch.from_data_list(single[:3]), data.Batch.from_data_list(single[3:])]
    for inputs in (single, batch):  # graphs one by one, and joined
        probe = Probe(
            Graph(broken), inputs, "e3", takes={"pos": "p", "x": "1x0e"}, gives={"velocity": "1o", "energy": "0e"}
        )
        assert verdict(probe) == ("broken" if broken else "exact")
    with pytest.raises(RepError, match="says nothing of x"):
        Probe(Graph(broken), single, "e3", takes={"pos": "p"}, gives={"velocity": "1o"})


# What else it carries


def profile(probe):
    return {row.name: row for row in audit(probe, elements=4, symmetries=True).symmetries}


def test_as_many_features_as_items():
    """Items are exchanged along their own axis, whatever else has as many entries."""
    x = {"points": torch.randn(12, 5, 3), "features": torch.randn(12, 5, 5)}
    weights = torch.randn(5)

    def model(points: Tensor, features: Tensor) -> Tensor:
        return points.mean(1, keepdim=True) + (features @ weights).tanh()[..., None] * (
            points - points.mean(1)[:, None]
        )

    probe = Probe(model, x, "e3", takes={"points": "p", "features": "5x0e"}, gives="p", call="**")
    assert profile(probe)["permutations of items"].verdict == "exact"
    unclear = Probe(model, x, "e3", takes={"points": "p", "features": "same"}, gives="p", call="**")
    assert profile(unclear)["permutations of items"].verdict == "not judged"


def test_edges_that_name_items_are_not_judged_and_another_order_of_them_is():
    single = [
        {"pos": torch.randn(n, 3), "edges": torch.tensor([[k, (k + 1) % n] for k in range(n - 1)]).T} for n in (5, 6, 7)
    ]

    def model(pos: Tensor, edges: Tensor, late: float = 0.0) -> Tensor:
        apart = (pos[edges[0]] - pos[edges[1]]).square().sum(-1)
        return apart.sum() + late * apart[0]

    def reordered(sample):
        return {**sample, "edges": sample["edges"].flip(1)}

    for late, verdict_ in ((0.0, "exact"), (1.0, "broken")):
        probe = Probe(
            lambda pos, edges, late=late: model(pos, edges, late), single, "e3", takes={"pos": "p"}, gives="0e",
            call="**", alike={"order of the edges": reordered},
        )  # fmt: skip
        found = profile(probe)
        assert found["permutations of items"].verdict == "not judged"
        assert found["order of the edges"].verdict == verdict_
        assert found["order of the edges"].declared


def test_constants_that_were_rounded_are_not_called_approximate():
    """The same rule as of a verdict: float32 tells what float64 alone does not."""
    off = torch.eye(3) + 1e-8 * torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [0.5, 0.0, 0.0]]).double()
    probe = Probe(lambda x: x.square().sum((1, 2))[:, None, None] * (x @ off.to(x)), BATCH, "o3", "4x1o", "4x1o")
    result = audit(probe, elements=8, symmetries=True)
    assert result.verdict == "precision-limited"
    assert {row.name: row.verdict for row in result.symmetries}["rotations"] == "precision-limited"
