"""What in a MuJoCo model a symmetry does not move onto its like: by name, with both values, and what would mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equiwm.evidence.world.reading import FREE, HINGE, NEAR, SLIDE, ModelAction
from equiwm.evidence.world.result import CauseResult
from equiwm.symmetry.elements import Elements

_ALIKE = 1e-9


@dataclass(frozen=True)
class _Field:
    """An attribute that two sides should have alike: in the compiled model, and in the file."""

    name: str
    table: str
    key: str


_GEOM = (
    _Field("friction", "geom_friction", "friction"),
    _Field("size", "geom_size", "size"),
    _Field("contact dimension", "geom_condim", "condim"),
    _Field("contact type", "geom_contype", "contype"),
    _Field("contact affinity", "geom_conaffinity", "conaffinity"),
    _Field("contact margin", "geom_margin", "margin"),
    _Field("contact softness (solref)", "geom_solref", "solref"),
    _Field("contact softness (solimp)", "geom_solimp", "solimp"),
)
_DOF = (
    _Field("armature", "dof_armature", "armature"),
    _Field("damping", "dof_damping", "damping"),
    _Field("friction loss", "dof_frictionloss", "frictionloss"),
)


def causes(action: ModelAction, elements: Elements) -> list[CauseResult]:
    """Everything that differs between what some element of a batch moves, and what it moves it onto.

    Args:
        action: of the model.
        elements: those that were tried.
    """
    improper = bool((elements.determinant < 0).any())
    proper = bool(((elements.determinant > 0) & elements.turns).any())
    found = _gravity(action, elements)
    if improper:
        found += _joints(action) + _actuators(action) + _bodies(action)
        found += _solver(action)
    found += _fixed(action, elements) + _limits(action, elements)
    if proper or not found:
        found += _cones(action)
    return found


def _cause(name: str, text: str, repair: str = "") -> CauseResult:
    return CauseResult(name, text, f"--set {repair}" if repair else "", "")


def _text(values: Any) -> str:
    flat = np.atleast_1d(np.asarray(values, dtype=np.float64)).ravel()
    return ",".join(f"{float(x):.6g}" for x in flat)


def _short(one: Any, other: Any) -> tuple[str, str]:
    """Two values in few digits: of vectors that start alike only where they differ."""
    a, b = (np.atleast_1d(np.asarray(x, dtype=np.float64)).ravel() for x in (one, other))
    k = np.flatnonzero(np.abs(a - b) > _ALIKE * np.maximum(np.abs(a), 1.0))
    return ", ".join(f"{x:.4g}" for x in a[k]), ", ".join(f"{x:.4g}" for x in b[k])


def _differ(one: Any, other: Any) -> bool:
    return not np.allclose(one, other, rtol=_ALIKE, atol=1e-12)


def _gravity(action: ModelAction, elements: Elements) -> list[CauseResult]:
    gravity = np.array(action.model.opt.gravity)
    turned = elements.linear.numpy() @ gravity
    off = np.abs(turned - gravity).max(-1)
    if not (off > 1e-12).any():
        return []
    kept = np.where(np.abs(turned - gravity).max(0) > 1e-12, 0.0, gravity)
    return [_cause("gravity", f"Gravity is ({_text(gravity)}): g turns it.", f"option.gravity={_text(kept)}")]


def _joints(action: ModelAction) -> list[CauseResult]:
    model, found, seen = action.model, [], set()
    images = action.images()
    for joint in action.joints:
        image = images[joint.number]
        other = image.joint
        if (other.number, joint.number) in seen or joint.kind not in (HINGE, SLIDE):
            continue
        seen.add((joint.number, other.number))
        for each in _DOF:
            a, b = (getattr(model, each.table)[dofs] for dofs in (joint.dofs, other.dofs))
            if _differ(a, b):
                one, two = _short(a, b)
                found.append(
                    _cause(
                        each.name,
                        f"{each.name} of joint '{joint.name}' is {one}, of '{other.name}' {two}.",
                        f"joint.{other.name}.{each.key}={_text(a)}",
                    )
                )
        a, b = model.jnt_stiffness[joint.number], model.jnt_stiffness[other.number]
        if _differ(a, b):
            one, two = _short(a, b)
            found.append(
                _cause(
                    "stiffness",
                    f"stiffness of joint '{joint.name}' is {one}, of '{other.name}' {two}.",
                    f"joint.{other.name}.stiffness={_text(a)}",
                )
            )
        found += _range(action, joint, other, image.sign)
    return found


def _range(action: ModelAction, joint: Any, other: Any, sign: float) -> list[CauseResult]:
    model = action.model
    limited = [bool(model.jnt_limited[each.number]) for each in (joint, other)]
    if not any(limited):
        return []
    zero = model.qpos0
    low, high = model.jnt_range[joint.number] - zero[joint.qpos]
    wanted = np.sort([sign * low, sign * high]) + zero[other.qpos]
    given = model.jnt_range[other.number]
    if all(limited) and not _differ(wanted, given):
        return []
    degrees = joint.kind == HINGE and action.degrees
    shown = [np.rad2deg(each) if degrees else each for each in (wanted, given)]
    unit = " deg" if degrees else ""
    whose = (
        f"its own mirror image is {_text(shown[0])}"
        if joint.number == other.number
        else (f"that of '{joint.name}' mirrored is {_text(shown[0])}")
    )
    return [
        _cause(
            "joint range",
            f"the range of joint '{other.name}' is {_text(shown[1])}{unit}, {whose}.",
            "" if joint.number == other.number else f"joint.{other.name}.range={_text(shown[0])}",
        )
    ]


def _actuators(action: ModelAction) -> list[CauseResult]:
    model, found = action.model, []
    images = action.images()
    by_joint = {int(model.actuator_trnid[k, 0]): k for k in range(model.nu)}
    for k in range(model.nu):
        image = images[int(model.actuator_trnid[k, 0])]
        there = by_joint.get(image.joint.number)
        if there is None or there < k:
            continue
        names = [model.joint(int(model.actuator_trnid[each, 0])).name for each in (k, there)]
        a, b = (abs(float(model.actuator_gear[each, 0])) for each in (k, there))
        if _differ(a, b):
            found.append(_cause("gear", f"gear of the motor on '{names[0]}' is {a:.4g}, on '{names[1]}' {b:.4g}."))
        sign = image.sign * np.sign(model.actuator_gear[k, 0] * model.actuator_gear[there, 0])
        wanted, given = np.sort(sign * model.actuator_ctrlrange[k]), model.actuator_ctrlrange[there]
        if model.actuator_ctrllimited[k] and _differ(wanted, given):
            found.append(
                _cause(
                    "control range",
                    f"control range of the motor on '{names[1]}' is {_text(given)}, that of '{names[0]}' mirrored is "
                    f"{_text(wanted)}.",
                )
            )
    return found


def _bodies(action: ModelAction) -> list[CauseResult]:
    found: list[CauseResult] = []
    done = set()
    for body, partner in action.pairs.items():
        if (partner, body) in done:
            continue
        done.add((body, partner))
        geometry = _geoms(action, body, partner)
        found += geometry
        if not any(each.name in ("geometry", "size") for each in geometry) and body:
            found += _inertia(action, body, partner)
    return found


def _is_free(action: ModelAction, body: int) -> bool:
    """Whether a body stands in the world and is moved about in it: its place is a state, and none of its shape."""
    return body in action.roots and any(joint.kind in (FREE, SLIDE) for joint in action.of(body))


def _geoms(action: ModelAction, body: int, partner: int) -> list[CauseResult]:
    model, data, base, centre = action.model, action.data, action.base, action.centre
    here, there = ([k for k in range(model.ngeom) if model.geom_bodyid[k] == b] for b in (body, partner))
    found, left = [], list(there)
    moved = np.zeros(3)
    if _is_free(action, body):
        moved = data.xpos[partner] - (base @ (data.xpos[body] - centre) + centre)
    size = max(float(model.stat.extent), 1e-6)
    for k in here:
        alike = [j for j in left if model.geom_type[j] == model.geom_type[k]]
        image = base @ (data.geom_xpos[k] - centre) + centre + moved
        if not alike:
            if body and _touches(model, k):
                found.append(
                    _cause("geometry", f"geom '{_name(model, k)}' has no mirror image on '{_of(action, partner)}'.")
                )
            continue
        other = min(alike, key=lambda j: (round(float(np.linalg.norm(data.geom_xpos[j] - image)), 9), j != k))
        left.remove(other)
        if not body:
            continue  # what is fixed in the world has a section of its own
        if other < k and body == partner:
            continue
        names = _name(model, k), _name(model, other)
        frame = base @ data.geom_xmat[k].reshape(3, 3)
        off = float(np.linalg.norm(image - data.geom_xpos[other])) / size
        tilt = _turned_away(frame, data.geom_xmat[other].reshape(3, 3), int(model.geom_type[k]))
        if max(off, tilt) > 1e-9:
            far = f"{off * size:.2g} m" if off > 1e-9 else f"{np.rad2deg(tilt):.2g} deg"
            whose = "its own mirror image" if k == other else f"the mirror image of '{names[0]}'"
            found.append(_cause("geometry", f"geom '{names[1]}' is {far} off {whose}.", action.straightened(k, other)))
        for each in _GEOM:
            a, b = getattr(model, each.table)[k], getattr(model, each.table)[other]
            if _differ(a, b):
                one, two = _short(a, b)
                found.append(
                    _cause(
                        each.name,
                        f"{each.name} of geom '{names[0]}' is {one}, of '{names[1]}' {two}.",
                        f"geom.{names[1]}.{each.key}={_text(a)}" if model.geom(other).name else "",
                    )
                )
    return found


def _turned_away(one: np.ndarray, other: np.ndarray, kind: int) -> float:
    """Angle between the long axes of two geoms of one kind; boxes and meshes by all three axes, up to sign."""
    sphere, round_kinds = 2, (3, 5)
    if kind == sphere:
        return 0.0
    axes = [2] if kind in round_kinds else [0, 1, 2]
    return max(float(np.linalg.norm(np.cross(one[:, k], other[:, k]))) for k in axes)


def _inertia(action: ModelAction, body: int, partner: int) -> list[CauseResult]:
    model, data = action.model, action.data
    names = action.bodies[body], action.bodies[partner]
    a, b = model.body_mass[body], model.body_mass[partner]
    if _differ(a, b):
        one, two = _short(a, b)
        repair = f"body.{names[1]}.mass={_text(a)}"
        return [_cause("mass", f"mass of body '{names[0]}' is {one}, of '{names[1]}' {two}.", repair)]

    def tensor(k: int) -> np.ndarray:
        frame = data.ximat[k].reshape(3, 3)
        return np.asarray(frame @ np.diag(model.body_inertia[k]) @ frame.T)

    image = action.base @ tensor(body) @ action.base.T
    if np.abs(image - tensor(partner)).max() > 1e-9 * max(np.abs(image).max(), 1e-12):
        return [_cause("inertia", f"inertia of body '{names[1]}' is not the mirror image of that of '{names[0]}'.")]
    return []


def _touches(model: Any, k: int) -> bool:
    """Whether a geom can be in contact with any other."""
    others = [j for j in range(model.ngeom) if model.geom_bodyid[j] != model.geom_bodyid[k]]
    return any(
        (model.geom_contype[k] & model.geom_conaffinity[j]) or (model.geom_contype[j] & model.geom_conaffinity[k])
        for j in others
    )


def _fixed(action: ModelAction, elements: Elements) -> list[CauseResult]:
    """Geoms of the world itself that can touch something, and that some element does not map onto themselves."""
    model, data, found = action.model, action.data, []
    plane = 0
    for k in range(model.ngeom):
        if model.body_weldid[model.geom_bodyid[k]] != 0 or not _touches(model, k):
            continue
        normal = data.geom_xmat[k].reshape(3, 3)[:, 2]
        place = data.geom_xpos[k] - action.centre
        for n in range(len(elements)):
            linear, shift = elements.linear[n].numpy(), elements.translation[n].numpy()
            if int(model.geom_type[k]) == plane:
                stays = np.allclose(linear @ normal, normal) and abs((linear @ place + shift - place) @ normal) < 1e-9
            else:
                stays = np.allclose(linear @ place + shift, place, atol=1e-9) and _same_shape(action, k, linear)
            if not stays:
                found.append(
                    _cause("fixed geometry", f"geom '{_name(model, k)}' is fixed in the world: g does not move it.")
                )
                break
    return found


def _same_shape(action: ModelAction, k: int, linear: np.ndarray) -> bool:
    frame = action.data.geom_xmat[k].reshape(3, 3)
    return _turned_away(linear @ frame, frame, int(action.model.geom_type[k])) < 1e-9


def _limits(action: ModelAction, elements: Elements) -> list[CauseResult]:
    """Limits of the joints that take up the motion of the whole: they stay where they are."""
    model, found = action.model, []
    turns = bool((elements.turns & (elements.determinant > 0)).any())
    moves = bool(elements.moves.any())
    for joint in action.joints:
        if joint.body not in action.roots or not model.jnt_limited[joint.number]:
            continue
        if (joint.kind == HINGE and turns) or (joint.kind == SLIDE and (moves or turns)):
            low, high = model.jnt_range[joint.number]
            what = f"joint '{joint.name}' is limited to {low:.4g} ... {high:.4g}: the limits do not move with g."
            found.append(_cause("joint range", what))
    return found


def _cones(action: ModelAction) -> list[CauseResult]:
    model = action.model
    sliding = any(int(model.geom_condim[k]) > 1 and _touches(model, k) for k in range(model.ngeom))
    if int(model.opt.cone) != 0 or not sliding:
        return []
    what = "friction cones are pyramidal (MuJoCo's default): their edges point along axes that g does not turn."
    return [_cause("cones", what, "option.cone=elliptic")]


def _solver(action: ModelAction) -> list[CauseResult]:
    pgs = 0
    exchanges = any(body != partner for body, partner in action.pairs.items())
    if int(action.model.opt.solver) != pgs or not exchanges:
        return []
    what = "the solver is PGS, which goes through the constraints in their order: exchanging sides changes the order."
    return [_cause("solver", what, "option.solver=Newton")]


def _name(model: Any, k: int) -> str:
    return model.geom(k).name or f"geom {k}"


def _of(action: ModelAction, body: int) -> str:
    return action.bodies[body]


def is_near(action: ModelAction) -> bool:
    """Whether a body's moving parts are their own mirror image to 2% of its size: one that a mirror is used with."""
    model, data, base, centre = action.model, action.data, action.base, action.centre
    size = max(float(model.stat.extent), 1e-6)
    for body, partner in action.pairs.items():
        if not body or _is_free(action, body) or float(model.body_mass[body]) == 0.0:
            continue  # where a body that moves freely stands at the reference pose says nothing of its shape
        image = base @ (data.xipos[body] - centre) + centre
        if float(np.linalg.norm(image - data.xipos[partner])) > NEAR * size:
            return False
        if abs(float(model.body_mass[body] - model.body_mass[partner])) > NEAR * float(model.body_mass[body]):
            return False
    return True
