"""The bodies of Gymnasium as probes: the symmetries that their models offer, and a probe of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from equiwm.environments.making import make_environment
from equiwm.errors import DataError, GroupError
from equiwm.evidence.world.acting import MIRROR, group_of
from equiwm.evidence.world.cause import causes, is_near
from equiwm.evidence.world.gym_body import GymBody
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.reading import BALL, FREE, HINGE, ModelAction
from equiwm.evidence.world.result import CauseResult
from equiwm.evidence.world.settings import with_settings
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group

_MIRRORS = {"mirrory": (1.0, -1.0, 1.0), "mirrorx": (-1.0, 1.0, 1.0)}
"""The reflection across the vertical plane of the way forward (x) first: left and right."""


def is_body(environment: Any) -> bool:
    """Whether an environment is one of Gymnasium's on a MuJoCo model."""
    inner = environment.unwrapped
    return all(hasattr(inner, name) for name in ("model", "data", "set_state", "init_qpos")) and hasattr(
        inner.model, "nq"
    )


def body_probe(name: str, group: str | Group, settings: Sequence[str] = ()) -> WorldProbe:
    """The probe of a Gymnasium MuJoCo body.

    Args:
        name: the environment's id.
        group: `mirror` (the first of y -> -y and x -> -x that does something to this body), `mirrorx`, `mirrory`,
            `so2z`, `se2z`, `o2z`, `shiftx`, `shiftxy`, or any group about the vertical.
        settings: of the model, as `--set` takes them.

    Raises:
        DataError: not such an environment.
        GroupError: a group that the model's joints cannot take up; the message names the joint.
        ConfigError: a setting that the model has not.
    """
    environment = make_environment(name)
    if not is_body(environment):
        raise DataError(
            f"gym:{name} is no MuJoCo body whose state can be set: give --reps, where it can be put where its "
            "observations show it, or module:probe, a WorldProbe that sets it."
        )
    model = with_settings(environment.unwrapped.fullpath, settings) if settings else None
    body = GymBody(environment, model)
    wanted = str(group).lower() if isinstance(group, str) else group
    action, symmetry = _action(body, wanted)
    label = f"gym:{name}" + (f" with {', '.join(settings)}" if settings else "")

    def why(elements: Elements) -> list[CauseResult]:
        return causes(action, elements)

    return _with_channels(body, action, symmetry, label, why)


def _action(body: GymBody, wanted: str | Group) -> tuple[ModelAction, Group]:
    if wanted == MIRROR:
        refused = []
        for name, signs in _MIRRORS.items():
            try:
                action = ModelAction(body.model, signs, body.file)
                group = group_of(name)
                action.check_motion(group.sample(32, 0)[group.sample(32, 0).turns][0])
            except GroupError as error:
                refused.append(f"{name}: {error}")
                continue
            if _does_something(action, group, body):
                return action, group
            refused.append(f"{name} changes nothing.")
        raise GroupError("no mirror acts on this body. " + " ".join(refused))
    group = wanted if isinstance(wanted, Group) else group_of(wanted)
    if group.d != 3:
        raise GroupError(
            f"{group} acts on d = {group.d}; a MuJoCo body lives in space: so2z, se2z, o2z, mirror, shiftxy."
        )
    signs = _MIRRORS["mirrorx"] if group.name == "mirrorx" else _MIRRORS["mirrory"]
    return _tried(ModelAction(body.model, signs, body.file), group)


def _tried(action: ModelAction, group: Group) -> tuple[ModelAction, Group]:
    for k in range(4):
        action.check_motion(group.sample(4, 0)[k])
    return action, group


def _does_something(action: ModelAction, group: Group, body: GymBody) -> bool:
    g = group.sample(32, 0)
    g = g[g.turns][0]
    states = body.starts(3, 0)
    low, high = body.bounds
    return any(abs(action.on_state(state, g) - state).max() > 1e-9 for state in states) or bool(
        abs(action.on_action(high * 0.5 + low * 0.1, g) - (high * 0.5 + low * 0.1)).max() > 1e-9
    )


def _with_channels(body: GymBody, action: ModelAction, group: Group, label: str, why: Any) -> WorldProbe:
    names: dict[str, list[int]] = {}
    nq = body.model.nq
    quaternions, angles = [], []
    for joint in action.joints:
        places = list(range(joint.qpos.start, joint.qpos.stop))
        if joint.kind in (FREE, BALL):
            quaternions.append(f"{joint.name} orientation")
            names[quaternions[-1]] = places[-4:]
        if joint.kind == FREE:
            names[f"{joint.name} position"] = places[:3]
        elif joint.kind != BALL:
            names[joint.name] = places
        if joint.kind == HINGE and joint.body in action.roots:
            angles.append(joint.name)  # it takes up turns of the whole, which are so modulo 2 pi
    for joint in action.joints:
        places = [nq + k for k in range(joint.dofs.start, joint.dofs.stop)]
        if joint.kind == FREE:
            names[f"{joint.name} velocity"], names[f"{joint.name} spin"] = places[:3], places[3:]
        else:
            names[f"{joint.name} velocity"] = places
    motors = [body.model.joint(int(k)).name or f"motor {k}" for k in body.model.actuator_trnid[:, 0]]
    return WorldProbe(
        body,
        body.starts,
        body.bounds,
        group,
        action.on_state,
        action.on_action,
        channels=names,
        quaternions=quaternions,
        angles=angles,
        action_channels=motors if len(set(motors)) == len(motors) else None,
        name=label,
        causes=why,
    )


def mended(name: str, group: str | Group, found: Sequence[CauseResult], settings: Sequence[str]) -> WorldProbe | None:
    """The probe with every repair of the causes, or None where there is none."""
    repairs = [each.repair.removeprefix("--set ") for each in found if each.repair]
    return body_probe(name, group, [*settings, *repairs]) if repairs else None


def with_verdict(found: Sequence[CauseResult], verdict: str) -> list[CauseResult]:
    """The causes, with the verdict that all repairs together have."""
    return [replace(each, repaired=verdict) if each.repair else each for each in found]


def offered(environment: Any) -> list[str]:
    """The symmetries that a body's model offers: its joints can take the motion up, and its shape is not far from it.

    Raises:
        DataError: not a MuJoCo body.
    """
    if not is_body(environment):
        raise DataError(f"{environment.spec.id} is no MuJoCo body whose state can be set.")
    body = GymBody(environment)
    found = []
    try:
        action, _ = _action(body, MIRROR)
        if is_near(action):
            found.append(MIRROR)
    except GroupError:
        pass
    action = ModelAction(body.model, file=body.file)
    if action.turns:
        found.append("so2z")
    if action.horizontal:
        found.append("shift" + "".join(action.horizontal))
    return found
