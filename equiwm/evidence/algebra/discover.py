"""`equiwm.discover`: which symmetries a world, a model or data really have."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from equiwm.audit.calling import left_as_found
from equiwm.audit.probe import Probe
from equiwm.checks import as_seed
from equiwm.errors import DataError
from equiwm.evidence.algebra.fitted import search_data
from equiwm.evidence.algebra.maps import Leaf, Map, of_probe, of_world
from equiwm.evidence.algebra.result import DiscoverResult
from equiwm.evidence.algebra.search import search
from equiwm.evidence.algebra.steps import Steps
from equiwm.subject import Subject
from equiwm.symmetry.reps import Rep
from equiwm.worlds.foreign import checked_world
from equiwm.worlds.world import World

SEED = 1000
"""Seed of samples and directions."""
_SAMPLES = 64
"""Transitions at which a model is looked at."""

Target = World | Probe | Subject | Steps


def discover(
    target: Target, *, reps: str | dict[str, str] | None = None, seed: int = SEED, finite: bool = True, space: int = 2
) -> DiscoverResult:
    """Which symmetries does it really have? The Lie algebra of a map by one SVD, finite symmetries by search.

    A generator is a field x' = A x + b on the inputs and y' = B y + c on the outputs with

        Df(x)[A x + b] = B f(x) + c    at every x,

    which is linear in (A, b, B, c): the null space of one stacked matrix is the algebra. Of a world s' = T(s, a) the
    successor moves as the state does. With reps, the space acts alike on all channels of a leaf: by any d x d matrix on
    vectors and points, by translations on points, by a factor on each term, by boosts where there are points and
    vectors. Every generator is also tried as finite motions.

    Args:
        target: a world, a probe, a subject (a run's whole model), or transitions (`steps.Steps`), of which the answer
            comes from fitted networks and is often "unsure".
        reps: None takes those of the target; `none` lets any matrix act on every leaf; or leaf -> rep, as
            `{"state": "2xp+2x1o"}`.
        seed: of samples and directions.
        finite: whether finite symmetries are looked for too.
        space: dimension of the space that reps of transitions are read in.

    Raises:
        DataError: a world or model that cannot be asked, is not deterministic, or has too many unknowns.
        RepError: reps that do not fit.
    """
    seed = as_seed(seed, "discover")
    free = reps == "none"
    if isinstance(target, Probe):
        with left_as_found(target.modules):
            return search(_with_reps(of_probe(target), reps), source="model", free=free, seed=seed, finite=finite)
    if isinstance(target, Subject):
        with left_as_found([target.model]):
            return search(
                _with_reps(_of_subject(target, seed), reps), source="model", free=free, seed=seed, finite=finite
            )
    if isinstance(target, Steps):
        steps = _with_step_reps(target, reps, space)
        return search_data(steps, free=free or steps.state_rep is None, seed=seed, finite=finite)
    world = checked_world(target)
    return search(_with_reps(of_world(world, seed), reps), source="world", free=free, seed=seed, finite=finite)


def _of_subject(subject: Subject, seed: int) -> Map:
    """The whole model of a run, F(s, a) = f(E(s), a).

    Where its latent is the state its output is the successor, which moves as the state does. Points of a state have
    their mean taken off, so that the output moves otherwise: it is then the change F(s, a) - E(s), of vectors.
    """
    model, world = subject.model, subject.world
    data = world.transitions(_SAMPLES, seed=seed, orientations="all").to(subject.dtype, subject.device)
    tied = model.latent_is_state and not model.observation_rep.has_points

    def change(observation: Tensor, action: Tensor) -> Tensor:
        return model.latent_rep.difference(model(observation, action), model.encode(observation))

    probe = Probe(
        change if model.latent_is_state and not tied else model,
        inputs=(data.observation, data.action),
        group=world.group,
        takes=(model.observation_rep, model.action_rep),
        gives=model.latent_rep,
        call="*",
    )
    built = of_probe(probe)
    state, action = built.inputs
    following = "next state" if tied else "change of the state" if model.latent_is_state else "latent"
    return replace(
        built,
        inputs=(replace(state, name="state"), replace(action, name="action")),
        outputs=(replace(built.outputs[0], name=following),),
        tied=tied,
    )


def _with_step_reps(steps: Steps, reps: str | dict[str, str] | None, space: int) -> Steps:
    """Transitions with reps.

    Raises:
        RepError: a rep that cannot be read.
        DataError: one that does not fit, or one for something else; a rep for one of states and actions alone.
    """
    if reps is None or reps == "none":
        return steps
    if isinstance(reps, str):
        raise DataError(f"reps: got {reps!r}, expected none, or leaf=rep for each leaf.")
    sizes = {"state": steps.state.shape[1], "action": steps.action.shape[1]}
    found = {"state": steps.state_rep, "action": steps.action_rep}
    for name, text in reps.items():
        if name not in sizes:
            raise DataError(f"reps: there is no {name!r}; expected state and action.")
        found[name] = Rep.parse(text, space)
        if found[name].dim != sizes[name]:  # type: ignore[union-attr]
            raise DataError(f"reps: {name} has {sizes[name]} entries, {text} in {space} dimensions has another number.")
    if found["state"] is None or (found["action"] is None and sizes["action"]):
        raise DataError("reps: give one for the state and one for the action, or none for both.")
    return replace(steps, state_rep=found["state"], action_rep=found["action"])


def _with_reps(built: Map, reps: str | dict[str, str] | None) -> Map:
    """The map with other reps for some of its leaves.

    Raises:
        RepError: reps that do not fit; a text that is not `none`.
        DataError: a leaf that it does not have.
    """
    if reps is None or reps == "none":
        return built
    if isinstance(reps, str):
        raise DataError(f"reps: got {reps!r}, expected none, or leaf=rep for each leaf.")
    leaves = {leaf.name: leaf for leaf in (*built.inputs, *built.outputs)}
    d = next((leaf.rep.d for leaf in leaves.values() if leaf.rep is not None), 3)
    for name, text in reps.items():
        if name not in leaves:
            raise DataError(f"reps: there is no {name!r}; expected some of {', '.join(leaves)}.")
        rep = Rep.parse(text, d)
        if rep.dim != leaves[name].dim:
            raise DataError(f"reps: {name} has {leaves[name].dim} entries, {text} has {rep.dim} in {d} dimensions.")
        leaves[name] = Leaf(name, rep.dim, rep)
    if built.tied and built.inputs[0].name in reps:
        following = built.outputs[0].name
        leaves[following] = replace(leaves[built.inputs[0].name], name=following)
    return replace(
        built,
        inputs=tuple(leaves[leaf.name] for leaf in built.inputs),
        outputs=tuple(leaves[leaf.name] for leaf in built.outputs),
    )
