"""What a run is: frozen dataclasses, read from a preset, then a file, then `--set section.key=value`.

Later sources win. Every field carries its help text; an unknown key or a value of the wrong type is refused with
the nearest known names. A resolved `Config` is written to the run as `config.yaml` and reads back equal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from equiwm.errors import ConfigError, nearest


def _field(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class PushTConfig:
    """The real PushT simulator (gym-pusht), group SO(2) about the arena's centre."""

    name: Literal["pusht"] = _field("pusht", "which world")
    direction: Literal["stem", "body_x"] = _field(
        "stem", "axis of the block that is observed: its mirror axis (stem), or the paper's body x axis"
    )
    wedge: tuple[float, float] = _field((0.0, 90.0), "scene orientations seen in training, degrees [low, high)")
    episode_steps: int = _field(16, "steps of one exploration episode")


@dataclass(frozen=True)
class CloudConfig:
    """Synthetic point clouds driven by force, torque and stretch, group SE(3)."""

    name: Literal["cloud"] = _field("cloud", "which world")
    action: Literal["coupled", "separate"] = _field(
        "coupled", "one vector drives force and torque (the paper's), or each has its own"
    )
    points: int = _field(24, "points of a cloud, always in the same order")
    breaking: float = _field(
        0.0, "strength g of a term - g <e_z, x~_p> e_z, which breaks the symmetry: each step flattens the cloud along z"
    )
    wedge: tuple[float, float] = _field((0.0, 90.0), "scene orientations about z seen in training, degrees [low, high)")


@dataclass(frozen=True)
class BodyConfig:
    """A rigid body in MuJoCo with gravity off, driven by force, torque and a pusher, group SE(3)."""

    name: Literal["body"] = _field("body", "which world")
    cone: Literal["elliptic", "pyramidal"] = _field(
        "elliptic", "friction cone; the pyramidal one, MuJoCo's default, breaks the symmetry on contact"
    )
    wedge: tuple[float, float] = _field((0.0, 90.0), "scene orientations about z seen in training, degrees [low, high)")
    episode_steps: int = _field(8, "control steps of one exploration episode")


@dataclass(frozen=True)
class FieldConfig:
    """The velocity field: six state vectors moved by a frozen equivariant teacher, group SO(2) or SO(3)."""

    name: Literal["field"] = _field("field", "which world")
    dimension: Literal[2, 3] = _field(2, "dimension d of the space")
    breaking: float = _field(0.0, "strength g of a term - g <s_c, e> e along a fixed axis e, which breaks the symmetry")
    coverage: float | None = _field(
        None,
        "orientations seen in training: degrees of an arc (d = 2), radius of a ball (d = 3), of which 0 is the wedge "
        "[0, 90) about z; null is 180 or 90",
    )
    warmup: int = _field(
        0, "steps: a transition starts 0 to so many after its scene, as a rollout meets it; 0 is the paper's data"
    )

    @property
    def covered(self) -> float:
        """The coverage in degrees, its default filled in: at most 360 (arc), or 180 (radius of a ball)."""
        return (180.0 if self.dimension == 2 else 90.0) if self.coverage is None else self.coverage

    @property
    def ball(self) -> float | None:
        """Radius in degrees of the ball of rotations that training sees; None in the plane, and for a wedge about z."""
        return self.covered or None if self.dimension == 3 else None

    @property
    def wedge(self) -> tuple[float, float]:
        """The rotations of the plane, or about z, that training sees: [0, covered), or [-covered, covered]."""
        if self.covered == 0.0:
            return (0.0, 90.0)
        return (0.0 if self.dimension == 2 else -self.covered, self.covered)


WorldConfig = PushTConfig | CloudConfig | BodyConfig | FieldConfig
WORLDS: dict[str, type[WorldConfig]] = {
    "pusht": PushTConfig,
    "cloud": CloudConfig,
    "body": BodyConfig,
    "field": FieldConfig,
}


def is_broken(world: WorldConfig) -> bool:
    """Whether a world's dynamics does not commute with its group.

    An outcome that is turned with its scene is then none of this world's: test sets are stepped afresh.
    """
    if isinstance(world, BodyConfig):
        return world.cone == "pyramidal"
    return isinstance(world, CloudConfig | FieldConfig) and world.breaking > 0.0


@dataclass(frozen=True)
class ModelConfig:
    """Encoder E, predictor f and the latent between them."""

    encoder: Literal["vn", "vn_cloud", "vn_set", "e3nn", "frame", "mlp", "mlp_centred", "identity"] = _field(
        "vn",
        "equivariant: vn (vectors), vn_cloud (points in a fixed order), vn_set (points without order), e3nn (the "
        "paper's in 3D), frame (an MLP averaged over frames); ordinary: mlp, mlp_centred (translations taken off); "
        "identity (a forward model: the latent is the state, points centred)",
    )
    predictor: Literal["vn", "vn_cross", "frame", "mlp"] = _field(
        "vn",
        "f = z + net(z, a): vector neurons, the same with cross products (d = 3), an MLP averaged over frames, or "
        "an ordinary MLP",
    )
    weights: Literal["real", "complex"] = _field(
        "complex", "weights of vector neurons; complex (d = 2) is complete for SO(2), real also carries O(2)"
    )
    latent: int = _field(128, "latent dimension D (vectors: D / d channels); ignored by the identity encoder")
    encoder_widths: tuple[int, ...] = _field(
        (64, 64),
        "hidden widths of the encoder (channels or units), [] for a linear one; e3nn: channels of degree 0, 1 and 2",
    )
    encoder_skip: bool = _field(False, "a linear path beside the encoders vn and vn_cloud")
    predictor_widths: tuple[int, ...] = _field((64, 64), "hidden widths of the predictor (channels or units)")
    predictor_products: int = _field(24, "number of cross products of the predictor vn_cross")


OptimizerName = Literal["muon", "adamw", "adam", "sgd", "rmsprop"]


@dataclass(frozen=True)
class TrainingConfig:
    """Data, objective and optimiser."""

    transitions: int = _field(1500, "training transitions, all from the wedge")
    objective: Literal["jepa", "forward"] = _field(
        "jepa", "latent prediction with an EMA target and a variance hinge, or next state weighted per channel"
    )
    optimizer: OptimizerName = _field("muon", "muon trains matrices with Muon and the rest with AdamW")
    lr: float | None = _field(None, "learning rate; null is the optimiser's own default")
    weight_decay: float | None = _field(None, "weight decay; null is the optimiser's own: 0.01 for adamw, else 0")
    schedule: Literal["constant", "cosine"] = _field("constant", "learning rate over the training")
    horizon: int = _field(
        1,
        "steps H over which the loss rolls the model out; above 1 the data are transitions / H sequences of H steps, "
        "1 is the paper's",
    )
    epochs: int = _field(60, "passes over the training data")
    batch: int = _field(128, "batch size, in transitions, or in sequences where training.horizon is above 1")
    ema: float = _field(0.99, "decay of the EMA target encoder, per step")
    variance_weight: float = _field(0.04, "weight c of the variance hinge c mean_d relu(1 - std(z_d))")

    @property
    def updates(self) -> int:
        """Steps of the optimiser over the whole training."""
        return self.epochs * -(-(self.transitions // self.horizon) // self.batch)


@dataclass(frozen=True)
class PlanningConfig:
    """Receding-horizon control in closed loop. The defaults are the paper's in 2D; other worlds have their own."""

    method: Literal["cem", "mppi"] = _field("cem", "cross-entropy method, or model-predictive path integral")
    horizon: int = _field(20, "steps of a plan")
    samples: int = _field(300, "plans drawn in an iteration")
    iterations: int = _field(6, "refits of the distribution for one plan")
    elites: int = _field(30, "cheapest plans that cem refits to")
    sigma: float = _field(0.8, "initial standard deviation of every coordinate of an action")
    temperature: float = _field(0.1, "of mppi's weights, in standard deviations of the costs")
    steps: int = _field(30, "control steps of an episode")
    replan: int = _field(6, "steps of a plan that are carried out before the next one")
    shrink: bool = _field(False, "a plan ends with the episode at the latest; false is the paper's constant horizon")
    goal: Literal["pose", "latent", "procrustes"] | None = _field(
        None,
        "what the plan is to reach: the goal's pose (forward models), its latent, or the rotation between the two "
        "latents; null is pose where the model can express it, else latent",
    )
    running: float = _field(0.3, "weight of the way against the end of a plan")
    position_weight: float = _field(5.0, "weight of the squared position against 1 - cos(angle) (goal pose)")
    approach: float = _field(0.05, "weight of the squared distance between agent and block (goal pose)")
    centroid: float = _field(0.5, "weight of the squared centroid distance beside a latent goal, in space; 0 is none")


SECTIONS: dict[str, type] = {"model": ModelConfig, "training": TrainingConfig, "planning": PlanningConfig}

_IN_SPACE = {
    **{"horizon": 12, "samples": 256, "iterations": 5, "elites": 25, "sigma": 0.6},
    **{"steps": 18, "replan": 6, "shrink": True, "running": 0.0},
}
WORLD_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "cloud": {"planning": _IN_SPACE},
    "body": {"planning": _IN_SPACE},
}
"""Defaults of a section that depend on the world: the paper's settings of its closed loop in 3D, but for the plans'
length (a cloud that need not stop can be reached late: with plans of constant length it is never reached)."""


@dataclass(frozen=True)
class Config:
    """A fully resolved run."""

    preset: str
    description: str
    baseline: str | None
    world: WorldConfig
    model: ModelConfig
    training: TrainingConfig
    planning: PlanningConfig

    def as_dict(self) -> dict[str, Any]:
        """Plain data for YAML: `parse(config.as_dict()) == config`."""
        return _plain(dataclasses.asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def _describe(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_describe(arg) for arg in get_args(kind))
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        return f"a list of {inner[0].__name__}" + ("" if inner[-1] is Ellipsis else f" of length {len(inner)}")
    return "null" if kind is type(None) else kind.__name__


def _coerce(value: Any, kind: Any, where: str) -> Any:
    """`value` as `kind`, or a ConfigError that names `where`. An int is taken for a float, nothing else converts."""
    origin = get_origin(kind)
    if origin is Literal and value in get_args(kind):
        return next(known for known in get_args(kind) if known == value)  # 2 where 2.0 was written
    if origin in (Union, types.UnionType):
        for arg in get_args(kind):
            try:
                return _coerce(value, arg, where)
            except ConfigError:
                continue
    if origin is tuple and isinstance(value, list | tuple):
        inner = get_args(kind)
        expected = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(expected) == len(value):
            return tuple(_coerce(entry, want, where) for entry, want in zip(value, expected, strict=True))
    if kind is type(None) and value is None:
        return None
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # an integer beyond any float
            if math.isfinite(value):
                return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind in (str, bool) and isinstance(value, kind):
        return value
    raise ConfigError(f"{where}: got {value!r}, expected {_describe(kind)}.")


def _build(cls: type, values: Mapping[str, Any], section: str) -> Any:
    hints = get_type_hints(cls)
    for key in values:
        if key not in hints:
            raise ConfigError(f"unknown key '{section}.{key}': {nearest(str(key), hints)}")
    return cls(**{key: _coerce(value, hints[key], f"{section}.{key}") for key, value in values.items()})


def _section(name: str, values: Any) -> Mapping[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"section '{name}': got {values!r}, expected keys and values.")
    return values


def parse(data: Mapping[str, Any]) -> Config:
    """A `Config` from plain data with the keys preset, description, baseline, world, model, training, planning.

    Raises:
        ConfigError: an unknown key or section, a value of the wrong type, or values that contradict each other.
    """
    known = [entry.name for entry in dataclasses.fields(Config)]
    for key in data:
        if key not in known:
            raise ConfigError(f"unknown section '{key}': {nearest(str(key), known)}")
    world = _section("world", data.get("world"))
    world_name = world.get("name", "pusht")
    if world_name not in WORLDS:
        raise ConfigError(f"unknown world '{world_name}': {nearest(str(world_name), WORLDS)}")
    defaults = WORLD_DEFAULTS.get(world_name, {})
    config = Config(
        preset=_coerce(data.get("preset", "custom"), str, "preset"),
        description=_coerce(data.get("description", ""), str, "description"),
        baseline=_coerce(data.get("baseline"), str | None, "baseline"),
        world=_build(WORLDS[world_name], world, "world"),
        **{
            name: _build(cls, {**defaults.get(name, {}), **_section(name, data.get(name))}, name)
            for name, cls in SECTIONS.items()
        },
    )
    _check(config)
    return config


def _check(config: Config) -> None:
    """Refuse values that are of the right type but make no run."""
    training, model, world, planning = config.training, config.model, config.world, config.planning
    positive = {
        "training.transitions": training.transitions,
        "training.horizon": training.horizon,
        "training.epochs": training.epochs,
        "model.latent": model.latent,
        "model.predictor_products": model.predictor_products,
        **{
            f"planning.{key}": getattr(planning, key)
            for key in ("horizon", "samples", "iterations", "elites", "steps", "replan")
        },
        "world.episode_steps": getattr(world, "episode_steps", 1),
        **{f"model.encoder_widths[{i}]": width for i, width in enumerate(model.encoder_widths)},
        **{f"model.predictor_widths[{i}]": width for i, width in enumerate(model.predictor_widths)},
    }
    for key, value in positive.items():
        if value < 1:
            raise ConfigError(f"{key}: got {value}, expected at least 1.")
    if isinstance(world, CloudConfig) and world.points < 4:
        raise ConfigError(f"world.points: got {world.points}, expected at least 4: fewer span no frame in space.")
    if training.transitions % training.horizon:
        raise ConfigError(
            f"training.horizon: got {training.horizon}, expected a divisor of training.transitions "
            f"({training.transitions}), which make whole sequences."
        )
    rows = training.transitions // training.horizon
    if not 2 <= training.batch <= rows:
        most = "training.transitions" + (" / training.horizon" if training.horizon > 1 else "")
        raise ConfigError(f"training.batch: got {training.batch}, expected 2 to {most} ({rows}).")
    if not 0.0 <= training.ema < 1.0:
        raise ConfigError(f"training.ema: got {training.ema:g}, expected a decay in [0, 1).")
    if training.lr is not None and not training.lr > 0.0:
        raise ConfigError(f"training.lr: got {training.lr:g}, expected a positive number or null.")
    if (training.weight_decay or 0.0) < 0.0 or training.variance_weight < 0.0:
        raise ConfigError("training.weight_decay and training.variance_weight: expected at least 0.")
    if isinstance(world, FieldConfig):
        largest = 360 if world.dimension == 2 else 180
        wedge_about_z = world.dimension == 3 and world.covered == 0.0
        if not (0.0 < world.covered <= largest or wedge_about_z):
            raise ConfigError(f"world.coverage: got {world.covered:g}, expected degrees above 0, at most {largest}.")
        if world.warmup < 0:
            raise ConfigError(f"world.warmup: got {world.warmup}, expected at least 0 steps.")
    if isinstance(world, CloudConfig | FieldConfig) and world.breaking < 0.0:
        raise ConfigError(f"world.breaking: got {world.breaking:g}, expected a strength of at least 0.")
    if planning.elites > planning.samples:
        raise ConfigError(
            f"planning.elites: got {planning.elites}, expected 1 to planning.samples ({planning.samples})."
        )
    for key in ("sigma", "temperature"):
        if not getattr(planning, key) > 0.0:
            raise ConfigError(f"planning.{key}: got {getattr(planning, key):g}, expected a positive number.")
    weights = {key: getattr(planning, key) for key in ("running", "position_weight", "approach", "centroid")}
    for key, value in weights.items():
        if value < 0.0:
            raise ConfigError(f"planning.{key}: got {value:g}, expected at least 0.")
    low, high = world.wedge
    if not low < high <= low + 360.0:
        raise ConfigError(f"world.wedge: got [{low:g}, {high:g}], expected low < high <= low + 360 degrees.")
    if (training.objective == "forward") != (model.encoder == "identity"):
        raise ConfigError(
            f"training.objective {training.objective} with model.encoder {model.encoder}: the forward objective "
            "goes with the identity encoder, jepa with the others."
        )


def settings(config: Config) -> list[tuple[str, Any, str]]:
    """Every setting of a configuration: its key as `--set` takes it, its value, and what it is."""
    found = []
    for section in ("world", *SECTIONS):
        part = getattr(config, section)
        for entry in dataclasses.fields(part):
            value = _plain(getattr(part, entry.name))
            found.append((f"{section}.{entry.name}", "null" if value is None else value, entry.metadata["help"]))
    return found


def preset_folder() -> Path:
    """The folder of the presets: the installed package's, else the checkout's.

    Raises:
        ConfigError: neither is there.
    """
    packaged = Path(str(resources.files("equiwm"))) / "presets"
    checkout = Path(__file__).resolve().parent.parent / "presets"
    for folder in (packaged, checkout):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the presets are missing: looked in {packaged} and {checkout}; reinstall equiwm.")


def preset_names() -> list[str]:
    """Names of all presets, in alphabetical order."""
    return sorted(path.stem for path in preset_folder().glob("*.yaml"))


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: a folder of 200 runs is read several times faster."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, or does not hold keys and values.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"cannot read {path} as YAML: {reason}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"cannot read {path}: expected sections with keys and values.")
    return data


def _assign(data: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot:
        raise ConfigError(f"cannot read --set '{assignment}': expected section.key=value, as in training.epochs=10.")
    if section not in ("world", *SECTIONS):
        raise ConfigError(f"unknown section in --set '{assignment}': {nearest(section, ['world', *SECTIONS])}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"cannot read the value of --set '{assignment}'.") from None
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    data[section] = _merged(section, data.get(section), {name.strip(): value})


def _merged(section: str, old: Any, new: Any) -> dict[str, Any]:
    """`new` over `old`; another world starts from its own defaults, because it has other settings."""
    old, new = _section(section, old), _section(section, new)
    if section == "world" and new.get("name", old.get("name")) != old.get("name"):
        return dict(new)
    return {**old, **new}


def override(config: Config, assignments: Sequence[str]) -> Config:
    """A configuration with `section.key=value` assignments over it.

    Raises:
        ConfigError: an unknown section, key or value.
    """
    data = config.as_dict()
    for assignment in assignments:
        _assign(data, assignment)
    return parse(data)


def load(preset: str, file: Path | None = None, assignments: Sequence[str] = ()) -> Config:
    """Resolve a preset, then the sections of a YAML file over it, then `section.key=value` assignments.

    Raises:
        ConfigError: an unknown preset (with the nearest names), key, section or value.
    """
    names = preset_names()
    if preset not in names:
        raise ConfigError(f"unknown preset '{preset}': {nearest(preset, names)}")
    data = {**read_yaml(preset_folder() / f"{preset}.yaml"), "preset": preset}
    for key, value in (read_yaml(file) if file else {}).items():
        data[key] = _merged(key, data.get(key), value) if key == "world" or key in SECTIONS else value
    for assignment in assignments:
        _assign(data, assignment)
    return parse(data)
