"""The one way anything is found by name: a short name, `module:name`, or an installed entry point.

| kind | entry points | what a name stands for |
|---|---|---|
| `world` | `equiwm.worlds` | a world's class with its `Config`, or a configuration that names its world's class |
| `model` | `equiwm.models` | called with (ModelConfig, observation rep, action rep), gives a whole model |
| `encoder` | `equiwm.encoders` | called with (ModelConfig, observation rep, latent rep), gives E |
| `predictor` | `equiwm.predictors` | called with (ModelConfig, latent rep, action rep), gives f |
| `optimizer` | `equiwm.optimizers` | an `Optimiser` of `equiwm.training.optimizers` |
| `claim` | `equiwm.claims` | a `Claim` of `equiwm.claims.claim` |
| `ablation` | `equiwm.ablations` | a stress test of `equiwm ablate` |
| `group` | `equiwm.groups` | a `Group` |
| `explorer` | `equiwm.explorers` | (observation, generator) -> action, who acts while episodes are collected |
| `guard` | `equiwm.guards` | a function from states (n, S) to (n,) where a symmetry holds (`equiwm.worlds.guard`) |
| `probe` | `equiwm.probes` | a `Probe` of `equiwm.audit.probe`, or a function that makes one |
| `policy` | `equiwm.policies` | a `Policy` of `equiwm.planning.control`: (observation, goal, steps left) to actions |
| `tracker` | `equiwm.trackers` | called with a run's directory, gives a `Tracker` of `equiwm.training.trackers` |

Encoders, predictors and models that have a parameter `group` are called with the world's group as well, and predictors
that have a parameter `state` with the rep of the state, where the latent is the state.

A short name of this package is always this package's: an entry point cannot take its place. Nothing is imported but
what is asked for. Whether a name may be looked up at all is decided where it comes from: names on the command line
and in files that the user gives are the user's own, those in a run's folder are checked by `equiwm.trust`.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal

from equiwm.errors import ConfigError, MissingExtraError, nearest
from equiwm.printable import quoted

Extension = Literal[
    "world",
    "model",
    "encoder",
    "predictor",
    "optimizer",
    "claim",
    "ablation",
    "group",
    "guard",
    "explorer",
    "probe",
    "tracker",
    "policy",
]

BUILT_IN: dict[Extension, dict[str, str]] = {
    "world": {
        "pusht": "equiwm.worlds.pusht.config:PushTConfig",
        "cloud": "equiwm.worlds.cloud.config:CloudConfig",
        "body": "equiwm.worlds.body.config:BodyConfig",
        "field": "equiwm.worlds.field.config:FieldConfig",
        "data": "equiwm.worlds.data.config:DataConfig",
        "table": "equiwm.worlds.table.config:TableConfig",
        "gym": "equiwm.worlds.gym.config:GymConfig",
        "ring": "equiwm.worlds.ring.config:RingConfig",
        "pair": "equiwm.worlds.pair.config:PairConfig",
        "bodies": "equiwm.worlds.bodies.config:BodiesConfig",
    },
    "model": {},
    "encoder": {
        "vn": "equiwm.models.choice:VN_ENCODER",
        "vn_cloud": "equiwm.models.clouds:VNCloudEncoder.of",
        "vn_set": "equiwm.models.choice:VN_SET_ENCODER",
        "e3nn": "equiwm.models.e3nn_encoder:E3nnEncoder.of",
        "frame": "equiwm.models.frames:FrameEncoder.of",
        "canonical": "equiwm.models.canonical:CanonicalEncoder.of",
        "mlp": "equiwm.models.mlp:MLPEncoder.of",
        "mlp_centred": "equiwm.models.mlp:MLPEncoder.of_centred",
        "identity": "equiwm.models.world_model:IdentityEncoder.of",
    },
    "predictor": {
        "vn": "equiwm.models.choice:vn_predictor",
        "vn_cross": "equiwm.models.cross:CrossVNPredictor.of",
        "frame": "equiwm.models.frames:FramePredictor.of",
        "canonical": "equiwm.models.upright:canonical_predictor",
        "mlp": "equiwm.models.mlp:MLPPredictor.of",
        "soft": "equiwm.models.soft:SoftPredictor.of",
    },
    "optimizer": {
        "muon": "equiwm.training.optimizers:MUON",
        "adamw": "equiwm.training.optimizers:ADAMW",
        "adam": "equiwm.training.optimizers:ADAM",
        "sgd": "equiwm.training.optimizers:SGD",
        "rmsprop": "equiwm.training.optimizers:RMSPROP",
    },
    "claim": {
        "train": "equiwm.claims.training.claim:CLAIM",
        "verify_equivariance": "equiwm.claims.residual.claim:CLAIM",
        "sweep_group": "equiwm.claims.sweep.claim:CLAIM",
        "distill": "equiwm.claims.distill.claim:CLAIM",
        "rollout": "equiwm.claims.rollout.claim:CLAIM",
        "closed_loop": "equiwm.claims.closed_loop.claim:CLAIM",
        "sweep_success": "equiwm.claims.success.claim:CLAIM",
        "optimizers": "equiwm.claims.residual.claim:OPTIMIZERS",
        "ablate": "equiwm.claims.ablation.claim:CLAIM",
        "reproduce": "equiwm.claims.reproduce.section:CLAIM",
        "compare": "equiwm.claims.compare.claim:CLAIM",
    },
    "ablation": {
        "augmentation": "equiwm.claims.ablation.augmentation:KIND",
        "scale": "equiwm.claims.ablation.scale:KIND",
        "soft": "equiwm.claims.ablation.soft:KIND",
        "optimizer": "equiwm.claims.ablation.optimizer:KIND",
        "data": "equiwm.claims.ablation.data:KIND",
        "breaking": "equiwm.claims.ablation.breaking:KIND",
        "architecture": "equiwm.claims.ablation.architecture:KIND",
        "quadrant": "equiwm.claims.ablation.quadrant:KIND",
        "items": "equiwm.claims.ablation.items:KIND",
        "scaling": "equiwm.claims.ablation.scaling:KIND",
    },
    "group": {},
    "explorer": {},
    "guard": {},
    "probe": {},
    "tracker": {
        "tensorboard": "equiwm.training.trackers:TensorBoard",
        "wandb": "equiwm.training.trackers:WeightsAndBiases",
    },
    "policy": {},
}
"""What is extended -> short name -> `module:name` of what this package has itself."""

DEFAULT_WORLD = "pusht"
"""The world of a configuration that names none."""

RAISED = (Exception, SystemExit)
"""What somebody else's code may raise. A `sys.exit()` in it must not end the command as if all were well."""

_FIELD = {
    "world": "world",
    "model": "model.module",
    "encoder": "model.encoder",
    "predictor": "model.predictor",
    "optimizer": "training.optimizer",
    "claim": "claim",
    "ablation": "kind of ablation",
    "group": "group",
    "explorer": "policy",
    "guard": "world.guard",
    "probe": "probe",
    "tracker": "tracker",
    "policy": "policy",
}


def known_names(kind: Extension) -> list[str]:
    """The short names of a kind: this package's in their order, then those of installed entry points."""
    own = list(BUILT_IN[kind])
    return own + sorted(name for name in _entry_points(kind) if name not in own)


def is_foreign(name: str) -> bool:
    """Whether a name says where its code is, `module:name`, rather than being a short one."""
    return ":" in name


def check_name(kind: Extension, name: str) -> None:
    """Refuse a name that is neither `module:name` nor a known short one, without importing anything.

    Raises:
        ConfigError: such a name, with the nearest known ones.
    """
    if is_foreign(name) or name in BUILT_IN[kind]:  # entry points cost 7 ms, and a command asks for 15 names
        return
    if name not in known_names(kind):
        expected = nearest(name, known_names(kind))
        raise ConfigError(f"unknown {_FIELD[kind]} {quoted(name)}: {expected} Or give your own as module:name.")


def locate(kind: Extension, name: str) -> Any:
    """The object of that name.

    Args:
        kind: what is looked for.
        name: a short name, or `module:name`, where name may have dots (`my_nets:Encoder.small`).

    Raises:
        ConfigError: an unknown short name (with the nearest ones), a module that cannot be imported or lacks the name,
            or an entry point that fails.
        MissingExtraError: something of this package whose optional dependency is not installed.
    """
    check_name(kind, name)
    where = f"{_FIELD[kind]} {quoted(name)}"
    if name in BUILT_IN[kind]:
        return _resolve(BUILT_IN[kind][name], where)
    if not is_foreign(name):
        return _load(_entry_points(kind)[name], where)
    search(Path.cwd())  # a user's file lies where they are, or where a preset that names it lies
    try:
        return _resolve(name, where)
    except MissingExtraError:
        raise
    except ConfigError:
        raise
    except RAISED as error:  # the user's module, which may do anything while it is imported
        raise ConfigError(f"{where}: importing {name.partition(':')[0]} raised {reason_of(error)}") from None


def locate_in_file(file: Path, name: str) -> Any:
    """What a file of Python has by a name; modules beside it are found.

    Raises:
        ConfigError: no such file, one that raises while it is imported, or one that lacks the name.
    """
    where = f"{file}:{name}"
    if not file.is_file():
        raise ConfigError(f"{where}: there is no file {file}.")
    search(file.parent)
    spec = importlib.util.spec_from_file_location(_name_of(file), file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{where}: expected a file of Python, as in my_probe.py:probe.")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)  # a dataclass looks its module up there
    try:
        spec.loader.exec_module(module)
    except RAISED as error:  # the user's file, which may do anything while it is imported
        raise ConfigError(f"{where}: importing it raised {reason_of(error)}") from None
    if not hasattr(module, name):
        raise ConfigError(f"{where}: {file} has no '{name}'.")
    return getattr(module, name)


def _name_of(file: Path) -> str:
    """What a file is called as a module: its stem, unless that is another module's.

    A probe of the package `chgnet` may stand in `chgnet.py`, and what that imports is the package.
    """
    try:
        found = importlib.util.find_spec(file.stem)
    except (ImportError, ValueError):  # no name of a module, or one that was made by hand
        return f"_{file.stem}"
    taken = found is not None and (found.origin is None or Path(found.origin).resolve() != file.resolve())
    return f"_{file.stem}" if taken else file.stem


def reason_of(error: BaseException) -> str:
    """An exception in one line: its type, its first line, and the file and line of its last frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}{': ' + text if text else ''}{place}."


def search(folder: Path) -> None:
    """Look for modules in `folder` as well, after every installed one."""
    text = str(folder.resolve())
    if text not in sys.path:
        sys.path.append(text)


def module_file(name: str) -> Path | None:
    """The file that the module of `module:name` was imported from; None if it was not, or has none."""
    module = sys.modules.get(name.partition(":")[0])
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def _entry_points(kind: Extension) -> dict[str, metadata.EntryPoint]:
    many = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    return {point.name: point for point in metadata.entry_points(group=f"equiwm.{many}")}


def _load(point: metadata.EntryPoint, where: str) -> Any:
    try:
        return point.load()
    except RAISED as error:  # somebody's package, which may do anything while it is imported
        by = "" if point.dist is None else f" of the package {point.dist.name}"
        raise ConfigError(f"{where}: the entry point {point.value}{by} raised {reason_of(error)}") from None


def _resolve(text: str, where: str) -> Any:
    module_name, _, attribute = text.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise ConfigError(f"{where}: expected module:name, as in my_package.spring:Spring.")
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        asked = error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}."))
        if not asked:
            raise
        raise ConfigError(
            f"{where}: no module named '{error.name}' beside the preset, in this folder or among installed packages."
        ) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            file = getattr(found, "__file__", None)
            raise ConfigError(f"{where}: {file or found!r} has no '{part}'.")
        found = getattr(found, part)
    return found
