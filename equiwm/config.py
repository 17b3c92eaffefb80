"""What a run is: frozen dataclasses, read from a preset, then a file, then `--set section.key=value`.

Later sources win. Every field carries its help text; an unknown key or a value of the wrong type is refused with
the nearest known names. A resolved `Config` is written to the run as `config.yaml` and reads back equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from equiwm.disk.safe_yaml import read_yaml
from equiwm.errors import ConfigError, nearest
from equiwm.locate import BUILT_IN, DEFAULT_WORLD, check_name, is_foreign, locate, search
from equiwm.policy import SECTIONS as POLICY_SECTIONS
from equiwm.policy import without_policy
from equiwm.printable import quoted
from equiwm.results.guard import read_guard
from equiwm.schema import build, coerce, plain, read_assignment, section_of, setting, settings_of, since


@dataclass(frozen=True)
class WorldConfig:
    """Settings of a world: the base of every world's own, and enough for a world that has none.

    A world has a frozen dataclass as its `Config`, a subclass of this one whose fields are declared with
    `equiwm.schema.setting`; a method `check` may refuse what types and ranges do not.

    Attributes:
        world: `module:name` of the world's class, where the world is located by its configuration (so that a reader
            of configurations imports no simulator); empty where it is located by its class.
        title: what a report calls the world; empty where that is its name.
        defaults: section -> key -> value: defaults of other sections in this world.
        dimensions: of the space, those that the world can have; empty where only the world itself knows.
        turns_scenes: whether the world can turn its scenes anew at will within its coverage (`World.augmented`), so
            that augmentation is a setting of its data, and not a turn of transitions that were collected.
        has_tasks: whether there is something to reach in it (`ControlWorld`), so that success says something.
        recorded: whether the world is known by logs alone, which a user has to name, and cannot be stepped.
        frame: channels of an observation that give it a frame (d - 1 of them), for networks on canonical inputs; empty
            where principal axes are taken.
        positions: channels of an observation that are positions, for networks that see them less the first of these.
        counts: name of the setting that says how many items of a set are there; empty of a world without such a set.
        name: as `world.name` names it: a short name, or `module:name`.
        guard: where its symmetry holds (`worlds.guard`): the text of a saved map, or `module:holds`.
    """

    world: ClassVar[str] = ""
    title: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    dimensions: ClassVar[tuple[int, ...]] = ()
    turns_scenes: ClassVar[bool] = False
    has_tasks: ClassVar[bool] = True
    recorded: ClassVar[bool] = False
    frame: ClassVar[tuple[int, ...]] = ()
    positions: ClassVar[tuple[int, ...]] = ()
    counts: ClassVar[str] = ""

    name: str = setting("", "which world")
    guard: str | None = setting(
        None,
        "where its symmetry holds: a map that check-world --save-guard wrote (a .json file, kept in the run), or "
        "module:holds, a function of states (n, S); what leaves it is left out of data, test sets and loops",
        later=True,
    )

    @property
    def space_dimension(self) -> int | None:
        """d of this world's space; None where only the world itself knows."""
        return self.dimensions[0] if len(self.dimensions) == 1 else None

    @property
    def most_items(self) -> int | None:
        """How many items its set can have, where `counts` names a setting; else None."""
        return None

    def on_wedge(self) -> Self:
        """This world with training data from the wedge alone, as studies of what lies outside of it have it.

        The world as it is, unless its default is another.
        """
        return self

    def logs(self) -> Any:
        """Episodes (`equiwm.logs.episodes.Logs`) that this world is known by alone; None where it can be stepped."""
        return None

    def settled(self, shows: Callable[[Any, Any], tuple[bool, str]] | None = None) -> tuple[Self, tuple[str, ...]]:
        """This world as a run keeps it, and what is said of it: nothing depends on where and when it is read.

        Args:
            shows: asks a log whether it shows a group, and says why (`evidence.data.settle`); None asks nothing.
        """
        return self, ()


def check_wedge(wedge: tuple[float, float]) -> None:
    """Refuse a wedge of orientations that is none.

    Raises:
        ConfigError: such a wedge.
    """
    low, high = wedge
    if not low < high <= low + 360.0:
        raise ConfigError(f"world.wedge: got [{low:g}, {high:g}], expected low < high <= low + 360 degrees.")


@dataclass(frozen=True)
class ModelConfig:
    """Encoder E, predictor f and the latent between them."""

    module: str | None = setting(
        None,
        "a whole model of your own as module:name, called with (model settings, observation rep, action rep); null "
        "builds encoder and predictor",
    )
    encoder: str = setting(
        "vn",
        "equivariant: vn (any rep: vector neurons, or the typed network for more than vectors), vn_cloud (points in a "
        "fixed order), vn_set (points without order), e3nn (the paper's in 3D), frame (an MLP averaged over frames), "
        "canonical (an MLP in one frame); ordinary: mlp, mlp_centred (translations taken off); identity (a forward "
        "model: the latent is the state, points centred); or your own as module:name",
    )
    predictor: str = setting(
        "vn",
        "f = z + net(z, a): vn (any rep, as the encoder), vector neurons with cross products (d = 3), an MLP averaged "
        "over frames, an MLP in one frame (canonical), an ordinary MLP, or vector neurons and a free MLP beside them "
        "(soft); or your own as module:name",
    )
    weights: Literal["real", "complex"] = setting(
        "complex", "weights of vector neurons; complex (d = 2) is complete for SO(2), real also carries O(2)"
    )
    latent: int = setting(
        128, "latent dimension D (vectors: D / d channels); ignored by the identity encoder", at_least=1
    )
    latent_rep: str | None = setting(
        None,
        "rep of the latents, as 32x0e+32x1o, in place of latent; null is vectors, and with encoder vn as many scalars "
        "as vectors where the world has more than vectors",
        later=True,
    )
    encoder_widths: tuple[int, ...] = setting(
        (64, 64),
        "hidden widths of the encoder (channels or units), [] for a linear one; e3nn: channels of degree 0, 1 and 2",
        at_least=1,
    )
    encoder_skip: bool = setting(False, "a linear path beside the encoders vn and vn_cloud")
    predictor_widths: tuple[int, ...] = setting(
        (64, 64), "hidden widths of the predictor (channels or units)", at_least=1
    )
    group: str | None = setting(
        None,
        "the group that the model is built for and judged by, as o3 or so2z (train --group writes it); null is the "
        "world's",
        later=True,
    )
    normalise: bool = setting(
        False,
        "scale observations and actions to unit size, with one sigma a vector and one mean and sigma a scalar, fitted "
        "on the training data",
        later=True,
    )
    predictor_products: int = setting(24, "number of cross products of the predictor vn_cross", at_least=1)
    free_widths: tuple[int, ...] = setting(
        (128, 128), "hidden widths of the free path of the predictor soft", at_least=1, later=True
    )
    frame: tuple[int, ...] = setting(
        (),
        "the d - 1 channels that canonical networks read their frame off, in order; [] takes principal axes; under a "
        "group about an axis one vector, by its heading",
        at_least=0,
        later=True,
    )
    relative: tuple[int, ...] = setting(
        (),
        "channels of positions that a forward model sees less the first of them, so that translations change nothing; "
        "[] as they are",
        at_least=0,
        later=True,
    )


@dataclass(frozen=True)
class TrainingConfig:
    """Data, objective and optimiser."""

    transitions: int = setting(1500, "training transitions, all from the wedge", at_least=1)
    objective: Literal["jepa", "forward"] = setting(
        "jepa", "latent prediction with an EMA target and a variance hinge, or next state weighted per channel"
    )
    optimizer: str = setting(
        "muon",
        "muon (matrices with Muon, the rest with AdamW), adamw, adam, sgd, rmsprop; or your own as module:name",
    )
    lr: float | None = setting(None, "learning rate; null is the optimiser's own default", above=0.0)
    weight_decay: float | None = setting(
        None, "weight decay; null is the optimiser's own: 0.01 for adamw, else 0", at_least=0.0
    )
    schedule: Literal["constant", "cosine"] = setting("constant", "learning rate over the training")
    horizon: int = setting(
        1,
        "steps H over which the loss rolls the model out; above 1 the data are transitions / H sequences of H steps, "
        "1 is the paper's",
        at_least=1,
    )
    epochs: int = setting(60, "passes over the training data", at_least=1)
    batch: int = setting(128, "batch size, in transitions, or in sequences where training.horizon is above 1")
    ema: float = setting(0.99, "decay of the EMA target encoder, per step", at_least=0.0, below=1.0)
    variance_weight: float = setting(0.04, "weight c of the variance hinge c mean_d relu(1 - std(z_d))", at_least=0.0)
    augment: bool = setting(
        False,
        "turn all data by fresh elements of the world's group in every epoch (right where the world carries it)",
        later=True,
    )
    softness: float = setting(
        1e-2,
        "penalty beta of the free path of the predictor soft, beta E|v_free|^2 in units of the change",
        at_least=0.0,
        later=True,
    )

    @property
    def updates(self) -> int:
        """Steps of the optimiser over the whole training."""
        return self.epochs * -(-(self.transitions // self.horizon) // self.batch)

    def check(self) -> None:
        """Refuse sequences that do not divide the transitions, and batches larger than the data.

        Raises:
            ConfigError: such sizes.
        """
        if self.transitions % self.horizon:
            raise ConfigError(
                f"training.horizon: got {self.horizon}, expected a divisor of training.transitions "
                f"({self.transitions}), which make whole sequences."
            )
        rows = self.transitions // self.horizon
        if not 2 <= self.batch <= rows:
            most = "training.transitions" + (" / training.horizon" if self.horizon > 1 else "")
            raise ConfigError(f"training.batch: got {self.batch}, expected 2 to {most} ({rows}).")


@dataclass(frozen=True)
class PlanningConfig:
    """Receding-horizon control in closed loop. The defaults are the paper's in 2D; other worlds have their own."""

    method: Literal["cem", "mppi"] = setting("cem", "cross-entropy method, or model-predictive path integral")
    horizon: int = setting(20, "steps of a plan", at_least=1)
    samples: int = setting(300, "plans drawn in an iteration", at_least=1)
    iterations: int = setting(6, "refits of the distribution for one plan", at_least=1)
    elites: int = setting(30, "cheapest plans that cem refits to", at_least=1)
    sigma: float = setting(0.8, "initial standard deviation of every coordinate of an action", above=0.0)
    reach: float = setting(
        1.0,
        "norm that an action of a plan has at most, of the largest that the world takes, up to 1; less keeps plans to "
        "actions that the data show",
        above=0.0,
        later=True,
    )
    temperature: float = setting(0.1, "of mppi's weights, in standard deviations of the costs", above=0.0)
    steps: int = setting(30, "control steps of an episode", at_least=1)
    replan: int = setting(6, "steps of a plan that are carried out before the next one", at_least=1)
    shrink: bool = setting(False, "a plan ends with the episode at the latest; false is the paper's constant horizon")
    hold: int = setting(
        1, "steps that an action of a plan is held: a plan has horizon / hold of them", at_least=1, later=True
    )
    carry: Literal["mean", "best"] = setting(
        "mean",
        "what of a plan is carried out: the mean of its last distribution, or the best plan ever drawn for it",
        later=True,
    )
    ranking: Literal["float32", "none"] = setting(
        "float32",
        "how cem in float64 finds its elites: all plans scored in float32 and those near a choice again in float64, "
        "which gives the same plans bit for bit, or none of it",
        later=True,
    )
    warm: bool = setting(False, "a plan begins from what is left of the last one", later=True)
    goal: Literal["pose", "keypoints", "latent", "steps", "procrustes"] | None = setting(
        None,
        "what the plan is to reach: the goal's pose, or the points of its outline (forward models), its latent, the "
        "same with each direction in units of what a step changes of it (steps), or the rotation between the two "
        "latents; null is pose where the model can express it, else latent",
    )
    passing: bool = setting(
        False, "a plan is judged by the best pose on its way and not by its last one (goal keypoints)", later=True
    )
    running: float = setting(0.3, "weight of the way against the end of a plan", at_least=0.0)
    position_weight: float = setting(
        5.0, "weight of the squared position against 1 - cos(angle) (goal pose)", at_least=0.0
    )
    approach: float = setting(0.05, "weight of the squared distance between agent and block (goal pose)", at_least=0.0)
    centroid: float = setting(
        0.5,
        "weight of the squared centroid distance beside a latent goal, in space (goal steps: in steps); 0 is none",
        at_least=0.0,
    )

    def check(self) -> None:
        """Refuse more elites than plans, and actions held for another number of steps than divides a plan.

        Raises:
            ConfigError: so many.
        """
        if self.horizon % self.hold:
            raise ConfigError(
                f"planning.hold: got {self.hold}, expected a divisor of planning.horizon ({self.horizon}), which is "
                "made of actions held."
            )
        if self.elites > self.samples:
            raise ConfigError(f"planning.elites: got {self.elites}, expected 1 to planning.samples ({self.samples}).")


SECTIONS: dict[str, type] = {"model": ModelConfig, "training": TrainingConfig, "planning": PlanningConfig}

IN_SPACE: Mapping[str, Any] = {
    **{"horizon": 12, "samples": 256, "iterations": 5, "elites": 25, "sigma": 0.6},
    **{"steps": 18, "replan": 6, "shrink": True, "running": 0.0},
}
"""Section `planning` of worlds in space: the paper's settings of its closed loop in 3D, but for the plans' length (a
cloud that need not stop can be reached late: with plans of constant length it is never reached)."""


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
        return plain(dataclasses.asdict(self))

    def as_params(self) -> dict[str, Any]:
        """The same for the parameters of a cell, without later settings that stand at their defaults."""
        return {**self.as_dict(), **{name: since(getattr(self, name)) for name in ("world", *SECTIONS)}}

    def __str__(self) -> str:
        """What is trained on what, in three lines."""
        model, training = self.model, self.training
        network = model.module or f"{model.encoder}, then {model.predictor}"
        fit = f"{training.transitions} transitions, {training.epochs} epochs of {training.objective}"
        return f"{self.preset}: {self.description}\nworld {self.world.name}, network {network}\n{fit}"

    def _repr_html_(self) -> str:
        """What a notebook shows: every setting, as `--set` takes it."""
        lines = (f"{key} = {value}    # {meaning}" for key, value, meaning in settings(self))
        return "<pre>" + escape("\n".join((str(self), "", *lines))) + "</pre>"


def world_config(values: Mapping[str, Any]) -> WorldConfig:
    """Section `world`: the fields of the world that `name` says, of `DEFAULT_WORLD` where it says none.

    Raises:
        ConfigError: a world that is not found, or values that are none of its configuration's.
    """
    name = coerce(values.get("name", DEFAULT_WORLD), str, "world.name")
    return build(world_settings(name), {**values, "name": name}, "world")


def world_settings(name: str) -> type[WorldConfig]:
    """The configuration class of a world.

    Raises:
        ConfigError: a world that is not found, or whose `Config` is none.
    """
    found = locate("world", name)
    kind = found if isinstance(found, type) and issubclass(found, WorldConfig) else getattr(found, "Config", None)
    if kind is None:
        kind = WorldConfig
    if not (isinstance(kind, type) and issubclass(kind, WorldConfig) and dataclasses.is_dataclass(kind)):
        raise ConfigError(
            f"world '{name}': its Config is {kind!r}; expected a frozen dataclass that extends equiwm.WorldConfig."
        )
    return kind


def parse(data: Mapping[str, Any]) -> Config:
    """A `Config` from plain data with the keys preset, description, baseline, world, model, training, planning.

    Raises:
        ConfigError: an unknown key or section, a value of the wrong type, or values that contradict each other.
    """
    known = [entry.name for entry in dataclasses.fields(Config)]
    for key in data:
        if key not in known:
            raise ConfigError(f"unknown section {quoted(key)}: {nearest(str(key), known)}")
    world = world_config(section_of("world", data.get("world")))
    config = Config(
        preset=coerce(data.get("preset", "custom"), str, "preset"),
        description=coerce(data.get("description", ""), str, "description"),
        baseline=coerce(data.get("baseline"), str | None, "baseline"),
        world=world,
        **{
            name: build(cls, {**world.defaults.get(name, {}), **section_of(name, data.get(name))}, name)
            for name, cls in SECTIONS.items()
        },
    )
    _check(config)
    return config


def _check(config: Config) -> None:
    """Refuse values that are each in range but make no run together."""
    training, model = config.training, config.model
    if model.module is not None:
        check_name("model", model.module)
    check_name("encoder", model.encoder)
    check_name("predictor", model.predictor)
    check_name("optimizer", training.optimizer)
    # What an encoder from outside does to the state is known once it is built (`models.factory.check_objective`).
    if (
        model.module is None
        and not is_foreign(model.encoder)
        and (training.objective == "forward") != (model.encoder == "identity")
    ):
        raise ConfigError(
            f"training.objective {training.objective} with model.encoder {model.encoder}: the forward objective "
            "goes with the identity encoder, jepa with the others."
        )


def settings(config: Config) -> list[tuple[str, Any, str]]:
    """Every setting of a configuration: its key as `--set` takes it, its value, and what it is."""
    return [row for section in ("world", *SECTIONS) for row in settings_of(section, getattr(config, section))]


def foreign_names(data: Mapping[str, Any]) -> list[str]:
    """Every `module:name` in the sections of a configuration: what has to be imported from outside to use it."""
    keys = (
        ("world", "name"),
        ("world", "env"),
        ("world", "policy"),
        ("world", "guard"),
        ("model", "module"),
        ("model", "encoder"),
        ("model", "predictor"),
        ("model", "group"),
        ("training", "optimizer"),
        ("policy", "encoder"),
        ("policy", "optimizer"),
    )
    found = []
    for section, key in keys:
        values = data.get(section)
        name = values.get(key) if isinstance(values, Mapping) else None
        if isinstance(name, str) and is_foreign(name) and not name.startswith("{"):  # the text of a saved map
            found.append(name)
    return list(dict.fromkeys(found))


def readable(data: Mapping[str, Any]) -> dict[str, Any]:
    """A run's sections as plain data for a reader of results, who imports nobody's code.

    Settings that came later than the run have their defaults, so that old runs and new ones compare; a run with code
    from outside this package, written fully resolved, is taken as it stands.

    Raises:
        ConfigError: an unknown key or a wrong value.
    """
    world = coerce(section_of("world", data.get("world")).get("name", DEFAULT_WORLD), str, "world.name")
    data, policy = without_policy(data), {key: plain(data[key]) for key in POLICY_SECTIONS if key in data}
    if foreign_names({**data, **policy}) or world not in BUILT_IN["world"]:
        return {**plain(data), **policy, "world": {"name": world, **plain(section_of("world", data.get("world")))}}
    return {**parse(data).as_dict(), **policy}


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


def _assign(data: dict[str, Any], assignment: str) -> None:
    section, value = read_assignment(assignment, ["world", *SECTIONS])
    data[section] = _merged(section, data.get(section), value)


def _merged(section: str, old: Any, new: Any) -> dict[str, Any]:
    """`new` over `old`; another world starts from its own defaults, because it has other settings."""
    old, new = section_of(section, old), section_of(section, new)
    if section == "world" and new.get("name", old.get("name")) != old.get("name"):
        return dict(new)
    return {**old, **new}


def planning_of(planning: PlanningConfig, assignments: Sequence[str]) -> PlanningConfig:
    """Settings of planning with `planning.key=value` assignments over them.

    Raises:
        ConfigError: an unknown key or value, or another section.
    """
    values = dataclasses.asdict(planning)
    for assignment in assignments:
        values |= read_assignment(assignment, ["planning"])[1]
    return build(PlanningConfig, values, "planning")


def is_path(preset: str) -> bool:
    """Whether a preset is given as a file rather than by name."""
    return preset.endswith((".yaml", ".yml")) or "/" in preset or "\\" in preset


def preset_file(preset: str, beside: Path | None = None) -> Path:
    """The YAML file of a preset: a path as it stands, or a name among the presets of the package.

    Args:
        preset: `vn-2d`, or `path/to/mine.yaml`.
        beside: a folder in which `NAME.yaml` is looked for too: that of the preset which names this one.

    Raises:
        ConfigError: an unknown name (with the nearest ones), or no such file.
    """
    if is_path(preset):
        path = Path(preset) if beside is None or Path(preset).is_absolute() else beside / preset
        if not path.is_file():
            raise ConfigError(f"no such preset: {path}; expected a YAML file with the sections of a run.")
        return path
    if beside is not None and (beside / f"{preset}.yaml").is_file():
        return beside / f"{preset}.yaml"
    names = preset_names()
    if preset not in names:
        raise ConfigError(f"unknown preset {quoted(preset)}: {nearest(preset, names)} Or give the path of a YAML file.")
    return preset_folder() / f"{preset}.yaml"


def load(
    preset: str, file: Path | None = None, assignments: Sequence[str] = (), *, beside: Path | None = None
) -> Config:
    """Resolve a preset, then the sections of a YAML file over it, then `section.key=value` assignments.

    Modules that the files name are looked for beside them and in the current folder, after the installed ones.

    Args:
        preset: a preset's name, or the path of a YAML file, whose stem is then the preset's name.
        file: sections over it.
        assignments: settings over both.
        beside: a folder where presets are looked for too.

    Raises:
        ConfigError: an unknown preset (with the nearest names), key, section or value.
    """
    data, sources = assembled(preset, file, assignments, beside=beside)
    if foreign_names(data):
        for source in sources:
            search(source.parent)
    return parse(data)


def assembled(
    preset: str, file: Path | None = None, assignments: Sequence[str] = (), *, beside: Path | None = None
) -> tuple[dict[str, Any], list[Path]]:
    """What `load` parses, put together and unchecked, and the files it came from; no code that it names is imported.

    Args:
        preset, file, assignments, beside: as of `load`.

    Raises:
        ConfigError: an unknown preset, a file that cannot be read, or an assignment that is none.
    """
    source = preset_file(preset, beside)
    data = {**read_yaml(source), "preset": source.stem}
    if "name" in data or "kind" in data:
        raise ConfigError(
            f"{source} is the config.yaml of a run, not a preset: leave out kind, schema, name and so on."
        )
    for key, value in (read_yaml(file) if file else {}).items():
        data[key] = _merged(key, data.get(key), value) if key == "world" or key in SECTIONS else value
    for assignment in assignments:
        _assign(data, assignment)
    sources = [source, *([file] if file else [])]
    return _with_guard(data, [each.parent for each in sources]), sources


def _with_guard(data: dict[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """The data with the content of a saved map in the place of its path: a run holds all that it depends on.

    Args:
        data: sections.
        folders: where the path may begin, after the current folder.

    Raises:
        ConfigError: no such file, or one that holds no map.
    """
    world = data.get("world")
    path = world.get("guard") if isinstance(world, Mapping) else None
    if not isinstance(world, Mapping) or not isinstance(path, str) or path.startswith("{") or path[-5:] != ".json":
        return data
    places = [Path(path), *(folder / path for folder in folders)]
    found = next((place for place in places if place.is_file()), places[0])
    return {**data, "world": {**world, "guard": read_guard(found).as_text()}}
