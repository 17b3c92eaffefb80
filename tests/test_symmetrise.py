"""Networks made exact by an average: over every named group, on pytrees and graphs, and what cannot be made so."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from torch import Tensor, nn

import equiwm
from equiwm import Group, Probe, Rep, symmetrise
from equiwm.audit.audit import audit
from equiwm.errors import DataError, GroupError, RepError
from equiwm.symmetrised import Symmetrised
from equiwm.symmetry.frames import moved_vectors, principal_axes, sign_choices, vectors_of

EXACT = 1e-12
CONTINUOUS = ("so2", "o2", "se2", "e2", "so3", "o3", "se3", "e3")
ABOUT = (
    *("so2z", "o2x", "se2y", "e2z"),
    *(
        pytest.param(f"{name}{axis}", marks=pytest.mark.slow)
        for name, axes in (("so2", "xy"), ("o2", "yz"), ("se2", "xz"), ("e2", "xy"))
        for axis in axes
    ),
)
FINITE = ("c5", "d3", "d4x", "mirrory", "mirrorx2", "inversion", "oct", "octh")
PERMUTING = ("s4", "so3*s4", "e2*s4", "c4*s4")
JOINED = ("so2z*mirrorz", "mirrorz*so2z", "se2x*mirrorx", "o2z*inversion", "c4z*mirrorz")


class Plain(nn.Module):
    """An ordinary network, which knows of no symmetry."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(n_in, 24), nn.SiLU(), nn.Linear(24, n_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def plain(n_in: int, n_out: int, seed: int = 0) -> Plain:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Plain(n_in, n_out).double()


def inputs(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def residual(fn, group: Group, takes: Rep, gives: Rep, x: Tensor, n: int = 4) -> float:
    """max over g of RMS(rho(g) F(x) - F(g x)) / RMS(F(x) about its mean)."""
    found = []
    with torch.no_grad():
        straight = fn(x)
        for k in range(n):
            g = group.sample(n, 5, sigma=2.0).acting_on(takes.d, group.items)[k]
            off = gives.transform(straight, g) - fn(takes.transform(x, g))
            found.append(float(off.square().mean().sqrt()))
    return max(found) / float((straight - straight.mean(0)).square().mean().sqrt())


def reps_of(name: str) -> tuple[Rep, Rep]:
    group = Group.parse(name)
    d = group.d or 3
    if group.items:
        return Rep.parse(f"perm{group.items}*{'p' if group.translations else '1o'}+0e", d), Rep.parse(
            f"perm{group.items}*1o+2x0e", d
        )
    points = "5xp" if group.translations else "4x1o"
    high = "+1x2e" if d == 3 else "+1xm2"
    return Rep.parse(f"{points}+1x0e+1x0o", d), Rep.parse(f"2x1o+3x0e+1x0o+1x1e{high}{'+1xp' * group.translations}", d)


@pytest.mark.parametrize("name", [*CONTINUOUS, *ABOUT, *FINITE, *PERMUTING, *JOINED])
def test_frames_make_a_plain_network_exact(name):
    group, (takes, gives) = Group.parse(name), reps_of(name)
    net, x = plain(takes.dim, gives.dim), inputs(12, takes.dim)
    wrapped = symmetrise(net, name, (takes, gives))
    assert residual(net, group, takes, gives, x) > 0.05
    assert residual(wrapped, group, takes, gives, x) < EXACT
    assert f"exact on {group}" in repr(wrapped)


@pytest.mark.parametrize("name", [*CONTINUOUS, *ABOUT, *FINITE, "s4", *JOINED])
def test_averages_are_exact_on_the_subgroup_that_they_say(name):
    group, (takes, gives) = Group.parse(name), reps_of(name)
    net, x = plain(takes.dim, gives.dim), inputs(12, takes.dim)
    wrapped = symmetrise(net, name, (takes, gives), how="average")
    assert wrapped.exact_on in group
    assert wrapped.exact_on.is_finite
    assert residual(wrapped, wrapped.exact_on, takes, gives, x) < EXACT
    if group.translations:
        moves = group.elements(torch.eye(group.d).expand(12, -1, -1), group.sample(12, 3, sigma=5.0).translation)
        with torch.no_grad():
            apart = [
                gives.transform(wrapped(x), g) - wrapped(takes.transform(x, g)) for g in (moves[k] for k in (0, 7))
            ]
        assert max(float(each.abs().max()) for each in apart) < 1e-11
    assert (residual(wrapped, group, takes, gives, x) < EXACT) == group.is_finite
    said = repr(wrapped)
    assert f"exact on {wrapped.exact_on}" in said
    assert ("a subgroup of" in said) == (not group.is_finite)


@pytest.mark.parametrize("how", ["frame", "average"])
def test_a_wrong_rep_is_still_broken(how):
    """It is exact as what was declared, and as nothing else."""
    takes, gives, wrong = (Rep.parse(text, 3) for text in ("4x1o", "2x1o", "2x1e"))
    wrapped = symmetrise(plain(12, 6), "octh", (takes, gives), how=how)
    x = inputs(24, 12)
    assert residual(wrapped, Group.parse("octh"), takes, gives, x) < EXACT
    assert residual(wrapped, Group.parse("octh"), takes, wrong, x) > 0.5


def test_a_frame_of_one_sign_alone_is_seen(monkeypatch):
    """A test of the test: what makes it exact is the average over signs."""
    monkeypatch.setattr("equiwm.symmetry.canonical.sign_choices", lambda d, *, reflections: torch.ones(1, d).double())
    takes, gives = Rep.parse("4x1o", 3), Rep.parse("2x1o", 3)
    assert (
        residual(symmetrise(plain(12, 6), "so3", (takes, gives)), Group.parse("so3"), takes, gives, inputs(24, 12))
        > 0.05
    )


def test_frames_turn_with_the_vectors():
    moments = torch.diag_embed(torch.tensor([[4.0, 2.0, 1.0]], dtype=torch.float64))
    axes, gap = principal_axes(moments)
    assert float(torch.linalg.det(axes)) == pytest.approx(1.0)
    assert float(gap) == pytest.approx(0.25)
    assert [len(sign_choices(d, reflections=r)) for d, r in itertools.product((2, 3), (False, True))] == [2, 4, 4, 8]


@pytest.mark.parametrize(
    ("text", "d", "count", "moved"),
    [
        ("2x0e+3x1o", 3, 3, 0),
        ("perm4*p", 3, 4, 4),
        ("1o*perm4", 3, 4, 0),
        ("perm2*(0e+1o+p)", 3, 4, 2),
        ("rot", 3, 3, 0),
        ("1o*1o+2e", 3, 0, 0),
        ("2xp+1e", 2, 3, 2),
    ],
)
def test_vectors_are_found_in_reps(text, d, count, moved):
    """They turn as vectors do; those of points move."""
    rep, g = Rep.parse(text, d), Group.parse(f"se{d}").sample(1, 3)[0]
    x = inputs(5, rep.dim)
    found, turned = vectors_of(x, rep), vectors_of(rep.transform(x, g), rep)
    assert found.shape == (5, count, d)
    moves = moved_vectors(rep)
    assert int(moves.sum()) == moved
    expected = found @ g.linear.T + torch.where(moves[:, None], g.translation, torch.zeros(d, dtype=torch.float64))
    assert float((turned - expected).abs().max() if count else 0.0) < 1e-12


class Dipoles(nn.Module):
    """Energy and forces of one graph, or of a batch of clouds, by a network of the bare coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.net = nn.Embedding(5, 4), nn.Sequential(nn.Linear(7, 16), nn.SiLU(), nn.Linear(16, 4))

    def forward(self, positions: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        made = self.net(torch.cat([positions, self.embed(numbers)], -1))
        return {"energy": made[..., :1].sum(-2), "forces": made[..., 1:], "numbers": numbers}


REPS = ({"positions": "p", "numbers": "same"}, {"energy": "0e", "forces": "1o"})


def dipoles() -> Dipoles:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Dipoles().double()


def clouds(*shape: int) -> dict[str, Tensor]:
    return {"positions": inputs(*shape, 3), "numbers": torch.arange(shape[-1]).remainder(5).expand(shape)}


@pytest.mark.parametrize(("name", "how"), [("e3", "frame"), ("se2z", "average")])
def test_batches_and_graphs_of_pytrees_pass_the_audit(name, how):
    wrapped = symmetrise(dipoles(), name, REPS, how=how, call="**")
    group = wrapped.exact_on
    result = audit(Probe(wrapped, clouds(32, 6), group, *REPS, call="**"), elements=8)
    assert result.verdict == "exact", result.sentence
    graphs = [clouds(n) for n in (5, 6, 7, 5)]
    single = symmetrise(dipoles(), name, REPS, how=how, call="**", batched=False)
    result = audit(Probe(single, graphs, group, *REPS, call="**"), elements=4)
    assert result.verdict == "exact", result.sentence
    assert audit(Probe(dipoles(), graphs, group, *REPS, call="**"), elements=4).verdict == "broken"
    batch, one = clouds(3, 6), {key: value[1] for key, value in clouds(3, 6).items()}
    with torch.no_grad():
        alone, among = single(**one), wrapped(**batch)
    assert float((alone["forces"] - among["forces"][1]).abs().max()) < 1e-12
    assert torch.equal(among["numbers"], batch["numbers"])


def test_the_audit_says_what_it_costs():
    wrapped = symmetrise(dipoles(), "se3", REPS, call="**")
    result = audit(wrapped.probe(clouds(32, 6)), elements=16)
    assert result.verdict == "exact"
    (said,) = (each.text for each in result.findings if each.name == "symmetrised")
    assert "4 passes a call" in said
    assert "forces" in said
    assert "of a jump of the frame" in said
    cost = wrapped.cost([clouds(32, 6)])
    assert cost.passes == 4
    assert 0.0 < cost.error["forces"] < 2.0
    assert 0.0 < cost.near < 1.0
    again = symmetrise(wrapped, "se3", REPS, call="**").cost([clouds(32, 6)])
    assert again.error["forces"] < 1e-12, "what is exact already is left as it is"


def test_an_average_on_a_subgroup_is_broken_on_the_whole_group():
    wrapped = symmetrise(dipoles(), "so3", REPS, how="average", call="**", subgroup="c3z")
    assert audit(Probe(wrapped, clouds(16, 6), "so3", *REPS, call="**"), elements=8).verdict == "broken"
    result = audit(wrapped.probe(clouds(16, 6)), elements=8)
    assert (result.verdict, result.group) == ("exact", "c3z")
    assert any("exact on c3z, a subgroup of SO(3); 3 passes" in each.text for each in result.findings)


def test_a_named_subgroup():
    wrapped = symmetrise(plain(8, 2), "so2", ("4x1o", "1o"), how="average", subgroup="c16")
    assert wrapped.passes == 16
    with pytest.raises(GroupError, match="not a subgroup"):
        symmetrise(plain(8, 2), "so2", ("4x1o", "1o"), how="average", subgroup="d4")
    with pytest.raises(GroupError, match="not finite"):
        symmetrise(plain(8, 2), "o2", ("4x1o", "1o"), how="average", subgroup="so2")


def test_gradients_reach_the_network_and_the_inputs():
    net = plain(12, 6)
    wrapped, x = symmetrise(net, "o3", ("4x1o", "2x1o")), inputs(8, 12).requires_grad_()
    wrapped(x).square().sum().backward()
    assert x.grad is not None
    grads = {name: float(parameter.grad.abs().max()) for name, parameter in net.named_parameters()}
    assert grads.pop("net.2.bias") < 1e-12, "a constant vector is averaged away"
    assert all(value > 0 for value in grads.values())
    assert set(wrapped.state_dict()) == {f"module.{name}" for name in net.state_dict()}


def test_float32_and_arrays():
    wrapped = symmetrise(plain(12, 6).float(), "so3", ("4x1o", "2x1o"))
    result = audit(wrapped.probe(inputs(64, 4, 3).float().flatten(1)), elements=16)
    assert result.verdict == "exact", result.sentence


@pytest.mark.parametrize("how", ["frame", "average"])
def test_it_is_copied_and_saved_as_a_whole(how):
    wrapped, x = symmetrise(plain(12, 6), "so2z", ("4x1o", "2x1o"), how=how), inputs(8, 12)
    for other in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert torch.equal(other(x), wrapped(x))
        assert repr(other) == repr(wrapped)


# Degenerate inputs


def test_an_input_without_a_frame_is_refused_by_name():
    """A single vector has no frame in space, and one in the plane."""
    wrapped = symmetrise(plain(12, 3), "so3", ("4x1o", "1o"))
    x = inputs(4, 12)
    x[2] = torch.tensor([1.0, 2.0, 3.0] * 4)
    with pytest.raises(DataError, match="sample 2 has no frame"):
        wrapped(x)
    with pytest.raises(DataError, match="sample 0 has no frame"):
        symmetrise(plain(3, 3), "so3", ("1o", "1o"))(inputs(4, 3))
    flat = symmetrise(plain(2, 2), "so2", ("1o", "1o"))
    assert residual(flat, Group.parse("so2"), Rep.parse("1o", 2), Rep.parse("1o", 2), inputs(16, 2)) < EXACT
    with pytest.raises(DataError, match="NaN"):
        wrapped(inputs(4, 12) * float("nan"))


@pytest.mark.parametrize("name", ["so3", "se3"])
def test_fading_is_exact_at_degenerate_inputs_and_continuous(name):
    """The vertices of a cube, and clouds on their way there."""
    rep = "8xp" if name == "se3" else "8x1o"
    takes, gives = Rep.parse(rep, 3), Rep.parse("2x1o+0e" + ("+p" if name == "se3" else ""), 3)
    wrapped = symmetrise(plain(24, gives.dim), name, (takes, gives), degenerate="fade")
    cube = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64).flatten()
    bent = torch.stack([cube + scale * inputs(24) for scale in (0.0, 1e-9, 1e-3, 1e-1)])
    assert residual(wrapped, Group.parse(name), takes, gives, bent) < 1e-11
    with torch.no_grad():
        sizes = wrapped(bent)[:, :7].norm(dim=1)
    assert float(sizes[0]) == 0.0
    assert float(sizes[1]) < 1e-6 < float(sizes[3])


# What cannot be


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"group": "so3", "reps": ("4x0e", "1o")}, RepError, "no frame can be read off"),
        ({"group": "so3", "reps": ("2x2e", "1o")}, RepError, "no frame can be read off"),
        ({"group": "s9", "reps": ("perm9*1o", "1o")}, GroupError, "362,880 elements"),
        ({"group": "se3", "reps": ("4x1o", "p")}, RepError, "has none to follow"),
        ({"group": "so3", "reps": ("4x1o", "quat")}, RepError, "known up to sign"),
        ({"group": "o3", "reps": ("4x1o", "quat")}, GroupError, "cannot be reflected"),
        ({"group": "so3", "reps": ("4x1o", "1z")}, RepError, "no kind"),
        ({"group": "so3", "reps": ("same", "1o")}, RepError, "no input with a rep"),
        ({"group": "so3", "reps": "4x1o"}, RepError, "(takes, gives)"),
        ({"group": "so3", "reps": ("4x1o", "1o"), "how": "mean"}, DataError, "'frame', 'average'"),
        ({"group": "so3", "reps": ("4x1o", "1o"), "call": "x"}, DataError, "call"),
        ({"group": "so3", "reps": ("4x1o", "1o"), "degenerate": "x"}, DataError, "'raise', 'fade'"),
        ({"group": "so3", "reps": ("4x1o", "1o"), "subgroup": "oct"}, GroupError, "for how='average'"),
        ({"group": "nothing", "reps": ("4x1o", "1o")}, GroupError, "unknown group"),
        ({"group": "so3", "reps": ("4x1o", "1o"), "module": 3}, DataError, "got int"),
    ],
)
def test_what_cannot_be_symmetrised(arguments, error, words):
    with pytest.raises(error) as told:
        symmetrise(**{"module": plain(12, 3), **arguments})
    assert words in str(told.value)
    assert str(told.value).count("\n") <= 1


class Bare(Group):
    """An infinite group that tells nothing of itself."""

    name, d = "bare", 3

    def sample(self, n, seed, *, sigma=1.0):
        return Group.parse("so2z").sample(n, seed)

    def contains(self, g):
        return Group.parse("so2z").contains(g)


def test_a_group_of_ones_own():
    with pytest.raises(GroupError, match="no frames are known"):
        symmetrise(plain(12, 3), Bare(), ("4x1o", "1o"))
    with pytest.raises(GroupError, match="no finite subgroup of it is known"):
        symmetrise(plain(12, 3), Bare(), ("4x1o", "1o"), how="average")
    wrapped = symmetrise(plain(12, 3), Bare(), ("4x1o", "1o"), how="average", subgroup="c6z")
    rep = Rep.parse("4x1o", 3), Rep.parse("1o", 3)
    assert residual(wrapped, Group.parse("c6z"), *rep, inputs(16, 12)) < EXACT


def test_calls_and_outputs_that_do_not_fit():
    wrapped = symmetrise(plain(12, 3), "so3", ("4x1o", "1o"))
    for call in (lambda: wrapped(), lambda: wrapped(inputs(4, 12), inputs(4, 12)), lambda: wrapped(x=inputs(4, 12))):
        with pytest.raises(DataError, match="one argument alone"):
            call()
    with pytest.raises(RepError, match="its last axis is not one of 12"):
        wrapped(inputs(4, 11))
    with pytest.raises(RepError, match="batched=False"):
        wrapped(inputs(12))
    with pytest.raises(RepError, match="takes says nothing of field"):
        symmetrise(lambda x, field: x, "so3", ({"x": "1o"}, "1o"), call="**")(x=inputs(4, 3), field=inputs(4, 3))
    with pytest.raises(RepError, match="gives says nothing of extra"):
        symmetrise(lambda x: {"y": x, "extra": x}, "so3", ("4x1o", {"y": "4x1o"}))(inputs(4, 12))
    with pytest.raises(DataError, match="differs from pass to pass"):
        symmetrise(lambda x: {"y": x, "top": x.argmax(-1)}, "so3", ("4x1o", {"y": "4x1o"}))(inputs(64, 12))
    pair = {"a": "1o", "b": "1o"}, {"a": "1o"}
    with pytest.raises(RepError, match="differ: a 4, b 5"):
        symmetrise(lambda a, b: {"a": a}, "so3", pair, call="**")(a=inputs(4, 3), b=inputs(5, 3))


def test_it_is_public():
    assert equiwm.symmetrise is symmetrise
    assert isinstance(symmetrise(plain(12, 3), "so3", ("4x1o", "1o")), Symmetrised)
