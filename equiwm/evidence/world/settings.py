"""`--set` on a MuJoCo model: one attribute of the model's file, changed before it is compiled again.

`option.cone=elliptic`, `option.gravity=0,0,-9.81`, `geom.foot_left_geom.friction=0.9,0.1,0.1`,
`joint.left_hip_y.armature=0.008`: the attribute's own name and unit in the file (degrees where the file is in degrees).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equiwm.errors import ConfigError, nearest
from equiwm.locate import RAISED, reason_of
from equiwm.printable import quoted

_FORM = "expected option.KEY=VALUE, or geom., joint., body. or actuator.NAME.KEY=VALUE, as option.cone=elliptic"
_TABLES = {"geom.": "geoms", "joint.": "joints", "body.": "bodies", "actuator.": "actuators"}


def with_settings(path: str, settings: Sequence[str]) -> Any:
    """The model of a file with settings.

    Args:
        path: of the MuJoCo XML.
        settings: each `section.key=value`.

    Raises:
        ConfigError: a setting that cannot be read, that names what the model has not, or that MuJoCo refuses.
    """
    import mujoco

    spec = mujoco.MjSpec.from_file(path)
    for setting in settings:
        place, equals, value = setting.partition("=")
        if not equals or not value.strip():
            raise ConfigError(f"--set {quoted(setting)}: {_FORM}.")
        target, key = _target(spec, place.strip(), setting)
        if not hasattr(target, key) or key.startswith("_"):
            raise ConfigError(f"--set {quoted(setting)}: the model has no such attribute '{key}'.")
        try:
            setattr(target, key, _value(mujoco, getattr(target, key), key, value.strip()))
        except RAISED as error:  # MuJoCo's own, of an attribute of another type
            raise ConfigError(f"--set {quoted(setting)}: {reason_of(error)}") from None
    try:
        return spec.compile()
    except RAISED as error:
        raise ConfigError(f"--set: MuJoCo refuses the model: {reason_of(error)}") from None


def _target(spec: Any, place: str, setting: str) -> tuple[Any, str]:
    section, _, rest = place.partition(".")
    if section == "option" and rest and "." not in rest:
        return spec.option, rest
    name, _, key = rest.rpartition(".")
    table = _TABLES.get(f"{section}.")
    if table is None or not name or not key:
        raise ConfigError(f"--set {quoted(setting)}: {_FORM}.")
    every = {each.name: each for each in getattr(spec, table)}
    if section == "actuator":
        every = {**{each.target: each for each in spec.actuators}, **every}
    if name not in every:
        raise ConfigError(f"--set {quoted(setting)}: no {section} '{name}'; {nearest(name, [k for k in every if k])}")
    return every[name], key


def _value(mujoco: Any, present: Any, key: str, text: str) -> Any:
    words = {
        "cone": {"pyramidal": mujoco.mjtCone.mjCONE_PYRAMIDAL, "elliptic": mujoco.mjtCone.mjCONE_ELLIPTIC},
        "solver": {
            "PGS": mujoco.mjtSolver.mjSOL_PGS,
            "CG": mujoco.mjtSolver.mjSOL_CG,
            "Newton": mujoco.mjtSolver.mjSOL_NEWTON,
        },
    }
    if key in words:
        if text not in words[key]:
            raise ConfigError(f"option.{key} is one of {', '.join(words[key])}; got {quoted(text)}.")
        return words[key][text]
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise ConfigError(f"{key}: got {quoted(text)}, expected numbers.") from None
    if isinstance(present, np.ndarray):
        if len(numbers) > present.size:
            raise ConfigError(f"{key} is at most {present.size} numbers; got {len(numbers)}.")
        whole = present.copy().ravel()  # as in the file, what is not said stays as it is
        whole[: len(numbers)] = numbers
        return whole.reshape(present.shape)
    if len(numbers) != 1:
        raise ConfigError(f"{key} is one number; got {len(numbers)}.")
    return type(present)(numbers[0])
