"""Sets of items with features and masks: reps, layers, normalisation, models, logs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equiwm.cli.main import run
from equiwm.config import ModelConfig
from equiwm.errors import RepError
from equiwm.loading import load_run
from equiwm.models.choice import of_sets
from equiwm.models.clouds import Centring, VNSetEncoder
from equiwm.models.factory import build_model
from equiwm.models.sets import SetEncoder, SetPredictor
from equiwm.models.typed import TypedEncoder
from equiwm.nn import sets as layers
from equiwm.nn.sets import SetNetwork
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import SetLayout, set_layout
from equiwm.training.normalisation import fit_normalisation
from equiwm.worlds.world import Transitions

BODIES = "perm4*mask+perm4*p+perm4*1o+2xperm4+1o+0e"


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def drawn(rep: Rep, n: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Tensors of a rep; about 60% of its items are there, and none in the first sample."""
    x, layout = normal(seed, n, rep.dim, dtype=dtype), set_layout(rep)
    if layout is not None and layout.mask is not None:
        there = np.random.default_rng(seed + 1).random((n, layout.count)) < 0.6
        there[0] = False
        x[:, layout.mask] = torch.from_numpy(there).to(dtype)
    return x


def filled(x: torch.Tensor, layout: SetLayout, value: float) -> torch.Tensor:
    """The same with a value in all entries of empty places."""
    out, there = x.clone(), torch.ones(len(x), layout.count, dtype=torch.bool)
    if layout.mask is not None:
        there = x[:, layout.mask] > 0.5
    for k in range(layout.count):
        out[:, layout.places[k]] = torch.where(there[:, k, None], out[:, layout.places[k]], value)
    return out


# Reps


def test_a_set_is_read_item_after_item_or_column_after_column():
    together = set_layout(Rep.parse("perm3*(mask+p+1o+2x0e)", 2))
    apart = set_layout(Rep.parse("perm3*mask+perm3*p+perm3*1o+2xperm3", 2))
    assert together is not None
    assert apart is not None
    assert str(together.item) == str(apart.item) == "1xp+1x1o+2x0e"
    assert together.mask.tolist() == [0, 7, 14]
    assert apart.mask.tolist() == [0, 1, 2]
    assert together.places[1].tolist() == [8, 9, 10, 11, 12, 13]
    assert apart.places[1].tolist() == [5, 6, 11, 12, 16, 19]
    assert set_layout(Rep.parse("2x1o+0e", 2)) is None


@pytest.mark.parametrize("text", ["perm3*(mask+p+1o+2x0e)+1o", "0e+perm3*p+perm3*mask+perm3*1o"])
def test_items_that_are_taken_out_and_put_back(text):
    rep = Rep.parse(text, 3)
    layout, x = set_layout(rep), drawn(rep, 6, 0)
    back = layout.joined(layout.items(x), layout.others(x), layout.present(x))
    assert torch.equal(back, filled(x, layout, 0.0))
    g = Group.parse("se3*s3").sample(6, 1)
    moved = layout.present(rep.transform(x, g))
    assert torch.equal(moved, layout.present(x).gather(-1, g.permutation.argsort(-1)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("perm3*p+perm4*1o", "sets of 3 and 4 items"),
        ("perm3*(mask+p)+perm3*mask", "an item has 2 masks"),
        ("perm3*p+mask", "a mask stands within a set"),
        ("perm3*p+1o*perm3", "permN comes first"),
        ("perm3*(p+perm3)", "a set of sets"),
    ],
)
def test_what_is_no_set_is_refused(text, words):
    with pytest.raises(RepError, match=words):
        set_layout(Rep.parse(text, 2))


def test_vn_takes_sets_where_the_group_exchanges_all_items_or_a_mask_counts_them():
    rep = Rep.parse("perm4*(p+1o)", 2)
    assert of_sets(Group.parse("se2*s4"), rep)
    assert not of_sets(Group.parse("se2"), rep)
    assert of_sets(Group.parse("se2"), Rep.parse("perm4*(mask+p)", 2))
    assert not of_sets(Group.parse("se2*s4"), Rep.parse("0e+1o", 2))
    config, action = ModelConfig(latent=6, encoder_widths=(4,), predictor_widths=(4,)), Rep.parse("1o", 2)
    assert isinstance(build_model(config, rep, action, seed=0, group=Group.parse("se2*s4")).encoder, SetEncoder)
    assert isinstance(build_model(config, rep, action, seed=0, group=Group.parse("se2")).encoder, TypedEncoder)
    chosen = ModelConfig(encoder="vn_set", latent=6, encoder_widths=(4,), predictor_widths=(4,))
    assert isinstance(build_model(chosen, rep, action, seed=0, group=Group.parse("se2")).encoder, SetEncoder)
    cloud = ModelConfig(encoder="vn_set", latent=6, weights="real", encoder_widths=(4,), predictor_widths=(4,))
    assert isinstance(build_model(cloud, Rep.parse("5xp", 2), action, seed=0).encoder, VNSetEncoder)


# Exactness

KINDS = {2: ("0e", "0o", "1o", "p", "m2", "2x0e", "1o*1o"), 3: ("0e", "0o", "1o", "1e", "p", "2e", "rot")}
GROUPS = {2: ("so2", "o2", "se2", "e2", "c4"), 3: ("so3", "o3", "se3", "e3", "so2z", "se2z", "octh")}


@st.composite
def cases(draw):
    d = draw(st.sampled_from([2, 3]))
    count = draw(st.integers(1, 5))
    own = draw(st.lists(st.sampled_from(KINDS[d]), min_size=1, max_size=3))
    beside = draw(st.lists(st.sampled_from(("0e", "1o", "p")), max_size=2))
    mask = draw(st.sampled_from(("", "mask+")))
    together = draw(st.booleans())
    parts = [f"perm{count}*({mask}{'+'.join(own)})"]
    if not together:
        parts = [*([f"perm{count}*mask"] if mask else []), *(f"perm{count}*({kind})" for kind in own)]
    action = draw(st.sampled_from(("1o", "0e+1o", f"perm{count}*1o")))
    group = f"{draw(st.sampled_from(GROUPS[d]))}*s{count}"
    return d, group, "+".join([*parts, *beside]), action, draw(st.sampled_from(("vn", "identity", "items"))), mask


def _model(case, dtype):
    d, group, text, action, encoder, mask = case
    rep, act, g = Rep.parse(text, d), Rep.parse(action, d), Group.parse(group)
    count = set_layout(rep).count
    latent = {"latent_rep": f"perm{count}*({mask}2x0e+1o)+1o"} if encoder == "items" else {"latent": 7}
    config = ModelConfig(
        encoder="identity" if encoder == "identity" else "vn",
        encoder_widths=(8,),
        predictor_widths=(8,),
        normalise=True,
        **latent,
    )
    model = build_model(config, rep, act, seed=1, dtype=dtype, group=g)
    x, a = drawn(rep, 12, 3, dtype), drawn(act, 12, 5, dtype)
    after = x + normal(7, *x.shape, dtype=dtype)
    layout = set_layout(rep)
    if layout.mask is not None:
        after[:, layout.mask] = x[:, layout.mask]
    fit_normalisation(model, Transitions(x, a, after, torch.arange(12)))
    return model, rep, act, g, x, a, layout


def _change(model, x, a):
    """What a model adds: the identity beside it would hide a residual."""
    z = model.encode(x)
    return model.predict(z, a) - z


def _relative(found, expected):
    """RMS of a difference over the RMS of what it is a difference from; of zeros the difference itself."""
    size = expected.square().mean().sqrt()
    return float((found - expected).square().mean().sqrt() / (size if size > 0 else 1.0))


@settings(max_examples=16, deadline=None, derandomize=True)
@given(cases(), st.sampled_from([(torch.float64, 1e-12), (torch.float32, 1e-6)]))
@torch.no_grad()
def test_models_of_sets_are_exact_and_do_not_see_empty_places(case, precision):
    dtype, tolerance = precision
    model, rep, act, group, x, a, layout = _model(case, dtype)
    g = group.sample(12, 9)
    gx, ga, out = rep.transform(x, g), act.transform(a, g), model.latent_rep.linear_part
    assert _relative(_change(model, gx, ga), out.transform(_change(model, x, a), g)) < tolerance
    assert _relative(model.encode(gx), model.latent_rep.transform(model.encode(x), g)) < tolerance
    for value in (float("nan"), 1e9):
        assert torch.equal(model(filled(x, layout, value), a), model(x, a))


@pytest.mark.parametrize("broken", ["order", "turn", "padding", "translation"])
@torch.no_grad()
def test_a_broken_twin_is_seen(broken, monkeypatch):
    case = (2, "se2*s4", BODIES, "1o", "identity", "mask+")
    kept = layers.Exchange.forward

    def exchange(self, x, between, meet):
        made = kept(self, x, between, meet)
        places = torch.arange(made[0].shape[-3], dtype=made[0].dtype)[:, None, None]
        if broken == "order":  # the place of an item counts
            return [part * (1.0 + 0.1 * places) for part in made]
        if broken == "turn":  # one component is larger
            scale = torch.tensor([1.1, 1.0], dtype=made[0].dtype)[:, None]
            return [part * scale if part.shape[-2] == 2 else part for part in made]
        return made

    monkeypatch.setattr(layers.Exchange, "forward", exchange)
    if broken == "padding":  # an empty place is met like any other
        monkeypatch.setattr(
            SetLayout, "present", lambda self, x: torch.ones(*x.shape[:-1], self.count, dtype=torch.bool)
        )
    if broken == "translation":
        monkeypatch.setattr(Centring, "__call__", lambda self, x: x)
    model, rep, act, group, x, a, layout = _model(case, torch.float64)
    if broken == "translation":
        monkeypatch.setattr(layers, "_less_mean", lambda rep, project: _kept_whole(rep))
        model = build_model(
            ModelConfig(encoder="identity", predictor_widths=(8,)), rep, act, seed=1, dtype=torch.float64, group=group
        )
    g = group.sample(12, 9)
    residual = _relative(
        _change(model, rep.transform(x, g), act.transform(a, g)),
        model.latent_rep.linear_part.transform(_change(model, x, a), g),
    )
    if broken == "padding":
        apart = filled(x, layout, 5.0)
        residual = _relative(model(apart, a)[:, layout.mask], model(x, a)[:, layout.mask]) + _relative(
            _change(model, apart, a), _change(model, x, a)
        )
    assert residual > 1e-3


def _kept_whole(rep):
    shift = rep.translations
    return shift / shift[:, 0].sum().clamp(min=1.0), torch.eye(rep.dim, dtype=torch.float64), list(range(rep.dim))


@torch.no_grad()
def test_weights_do_not_depend_on_how_many_items_there_are():
    """A model of eight places with three items gives what the same weights give of three places."""
    config, action = ModelConfig(encoder="identity", predictor_widths=(8, 8), normalise=True), Rep.parse("1o", 3)
    few, many = (Rep.parse(f"perm{n}*mask+perm{n}*p+perm{n}*1o+perm{n}", 3) for n in (3, 8))
    small = build_model(config, few, action, seed=0, dtype=torch.float64, group=Group.parse("se3*s3"))
    large = build_model(config, many, action, seed=1, dtype=torch.float64, group=Group.parse("se3*s8"))
    large.load_state_dict(small.state_dict())
    x, a = drawn(few, 10, 0), normal(1, 10, 3)
    layout, wide = set_layout(few), set_layout(many)
    items = torch.zeros(10, 8, 7, dtype=torch.float64)
    items[:, [1, 4, 6]] = layout.items(x)
    there = torch.zeros(10, 8, dtype=torch.bool)
    there[:, [1, 4, 6]] = layout.present(x)
    found = wide.items(large(wide.joined(items, x[:, :0], there), a))
    assert torch.allclose(found[:, [1, 4, 6]], layout.items(small(x, a)), atol=1e-13)
    assert float(found[:, [0, 2, 3, 5, 7]].abs().max()) == 0.0


@torch.no_grad()
def test_what_one_item_does_to_another_does_not_depend_on_a_third():
    """A third item far off, to which nothing is felt, leaves no trace through a mean of the set."""
    rep, action = Rep.parse("perm3*(mask+p+1o)", 2), Rep.parse("1o", 2)
    network = SetPredictor(rep.linear_part, action, (8,), Group.parse("se2*s3"), rep).double()
    x, a = drawn(rep, 5, 0), normal(1, 5, 2)
    layout = set_layout(rep)
    x[:, layout.mask] = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    centre = Centring(rep, Group.parse("se2"))
    moved = x + 3.0 * rep.translations.sum(-1)
    assert torch.allclose(network.change(centre(x), a), network.change(centre(moved), a), atol=1e-13)
    assert torch.allclose(network.change(centre(x), a), network.change(x, a), atol=1e-12)


def test_latents_of_a_set_keep_its_mask():
    rep = Rep.parse("perm4*(mask+p)", 2)
    with pytest.raises(RepError, match="the latent's has none"):
        SetEncoder(rep, Rep.parse("perm4*(2x0e+1o)", 2), (4,), Group.parse("se2*s4"))
    with pytest.raises(RepError, match="a set of 4 items"):
        SetEncoder(rep, Rep.parse("perm3*(mask+1o)", 2), (4,), Group.parse("se2*s4"))
    with pytest.raises(RepError, match="known up to sign"):
        SetNetwork(Rep.parse("perm2*quat", 3), Rep.parse("1o", 3), Group.parse("so3"), (4,), relative=True, change=True)
    with pytest.raises(RepError, match="actions of rep 1xp hold points"):
        SetPredictor(Rep.parse("perm4*1o", 2), Rep.parse("p", 2), (4,), Group.parse("se2*s4"))


# Logs

REPS = """
dimension: 2
episodes: {index: episode}
state:
  there: {from: there, rep: perm4*mask}
  place: {from: place, rep: perm4*p, unit: m}
  velocity: {from: velocity, rep: perm4*1o, unit: m/s}
  mass: {from: mass, rep: perm4}
action:
  push: {from: push, rep: perm4*1o, unit: N}
"""


def _write_log(folder, padding=np.nan, mask=None):
    """Twelve episodes of ten steps: two to four masses that springs pull together, each pushed."""
    rng, rows = np.random.default_rng(0), {name: [] for name in ("there", "place", "velocity", "mass", "push")}
    for episode in range(12):
        there = np.arange(4) < 2 + episode % 3
        there = there[rng.permutation(4)]
        x, v, m = rng.normal(size=(4, 2)), 0.3 * rng.normal(size=(4, 2)), 0.5 + rng.random(4)
        for _ in range(10):
            push = rng.normal(size=(4, 2))
            for name, value in (("there", there), ("place", x), ("velocity", v), ("mass", m), ("push", push)):
                shown = np.array(value, float)
                if name != "there":
                    shown[~there] = padding
                rows[name].append(shown.ravel())
            pull = sum((x[j] - x) * there[j] for j in range(4))
            v = v + 0.1 * (push + pull) / m[:, None]
            x = x + 0.1 * v
    folder.mkdir()
    arrays = {name: np.array(values) for name, values in rows.items()}
    if mask is not None:
        arrays["there"][17, 2] = mask
    np.savez(folder / "log.npz", episode=np.repeat(np.arange(12), 10), **arrays)
    (folder / "reps.yaml").write_text(REPS)
    return folder


def equiwm(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


SETTINGS = (
    *("--set", "world.group=se2*s4", "--set", "world.symmetric=yes", "--set", "training.transitions=80"),
    *("--set", "training.epochs=2", "--set", "training.batch=16", "--set", "model.predictor_widths=[8]"),
    *("--set", "model.encoder=identity", "--set", "training.objective=forward", "--set", "model.normalise=yes"),
)


def test_a_log_of_sets_is_trained_on_and_audited(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    log = _write_log(tmp_path / "log")
    assert (
        equiwm("train", "--preset", "vn-data", "--set", f"world.path={log}", *SETTINGS, "--name", "sets", "--quiet")
        == 0
    )
    found = load_run(tmp_path / "runs" / "sets")
    assert any(isinstance(part, SetNetwork) for part in found.model.modules())
    assert equiwm("verify-equivariance", "runs/sets", "--dtype", "float64", "--samples", "16", "--quiet") == 0, (
        capsys.readouterr()
    )


@pytest.mark.parametrize(
    ("mask", "old", "new", "words"),
    [
        (0.5, "", "", "the mask of item 2 is 0.5"),
        (None, "mass: {from: mass, rep: perm4}", "mass: {from: mass, rep: perm3}", "has 4 entries a row"),
        (
            None,
            "place: {from: place, rep: perm4*p, unit: m}",
            "place: {from: place, rep: 4xp}",
            "expected finite numbers",
        ),
    ],
)
def test_a_log_whose_sets_do_not_fit_is_refused(tmp_path, monkeypatch, capsys, mask, old, new, words):
    monkeypatch.chdir(tmp_path)
    log = _write_log(tmp_path / "log", mask=mask)
    (log / "reps.yaml").write_text(REPS.replace(old, new))
    assert equiwm("train", "--preset", "vn-data", "--set", f"world.path={log}", *SETTINGS, "--quiet") == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert len(errors.strip().splitlines()) <= 2
    assert not (tmp_path / "runs").exists()
