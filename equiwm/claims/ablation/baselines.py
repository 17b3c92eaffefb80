"""The sceptic's baselines of any equivariant preset: each differs from it in class alone. No torch here.

Data, objective, optimiser, schedule, epochs and, of a latent model, the size of the latent are the preset's; the
ordinary network is that of the preset's baseline, or an MLP of the preset's own widths where it names none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from equiwm.config import Config, ModelConfig, load

ARMS: Mapping[str, str] = {
    "vn": "equivariant",
    "plain": "ordinary",
    "augmented": "ordinary, augmented over the group",
    "canonical": "ordinary, in one frame",
    "canonical-se": "ordinary, in one frame, positions relative",
    "frame": "ordinary, averaged over frames",
    "soft": "soft",
}
"""The classes that are compared, as tables call them."""

COST: Mapping[tuple[str, int], Mapping[str, float]] = {
    ("forward", 2): {"plain": 0.92, "augmented": 0.93, "canonical": 0.98, "frame": 1.07, "soft": 1.82},
    ("jepa", 2): {"plain": 2.61, "augmented": 2.63, "canonical": 2.74, "frame": 2.88, "soft": 3.41},
    ("jepa", 3): {"plain": 5.39, "augmented": 5.53, "canonical": 5.86, "frame": 5.53, "soft": 5.44},
}
"""CPU time of an update over that of the equivariant preset's, by objective and dimension (`docs/baselines.md` has the
command): `vn-2d-forward`, `vn-2d` and `vn-3d`. Fixed here, so that a study does not depend on the clock."""

SAME_TIME = 0.1
"""Costs that differ by less are one."""


def plain_model(config: Config) -> ModelConfig:
    """The ordinary network beside an equivariant preset."""
    forward = config.training.objective == "forward"
    if config.baseline is not None:
        found = load(config.baseline).model
        encoder_widths, predictor_widths = found.encoder_widths, found.predictor_widths
    else:
        encoder_widths, predictor_widths = config.model.encoder_widths, config.model.predictor_widths
    return ModelConfig(
        encoder="identity" if forward else "mlp",
        predictor="mlp",
        latent=config.model.latent,
        encoder_widths=encoder_widths,
        predictor_widths=predictor_widths,
        normalise=config.model.normalise,
    )


def arm_of(config: Config, arm: str) -> Config | None:
    """The configuration of an arm; None where there is none of this preset.

    Frames that the world names (`WorldConfig.frame`) are read off its channels, else off principal axes; relative
    positions are those that it names. A soft network needs an equivariant predictor of ours beside its free path.
    """
    if arm == "vn":
        return config
    plain, world = plain_model(config), config.world
    forward = config.training.objective == "forward"
    if arm == "plain":
        return replace(config, model=plain)
    if arm == "augmented":
        return replace(config, model=plain, training=replace(config.training, augment=True))
    if arm == "soft":
        if config.model.module is not None or config.model.predictor not in ("vn", "vn_cross"):
            return None
        soft = replace(config.model, predictor="soft", free_widths=plain.predictor_widths)
        return replace(config, model=soft)
    if arm == "frame":
        return replace(config, model=replace(plain, encoder="identity" if forward else "frame", predictor="frame"))
    relative = world.positions if arm == "canonical-se" else ()
    if arm == "canonical-se" and not (forward and relative):
        return None
    encoder = "identity" if forward else "canonical"
    model = replace(plain, encoder=encoder, predictor="canonical", frame=world.frame, relative=relative)
    return replace(config, model=model)


def in_equal_time(config: Config, arm: str, dim: int) -> Config | None:
    """An arm with as many epochs as cost what the preset's cost; None where that is about as many, or not known."""
    costs = COST.get((config.training.objective, dim), {})
    cost = costs.get("canonical" if arm == "canonical-se" else arm, 1.0)
    if abs(cost - 1.0) <= SAME_TIME:
        return None
    return replace(config, training=replace(config.training, epochs=max(1, round(config.training.epochs / cost))))
