"""Models that are not ours: any module as encoder, predictor or world model, with reps beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from equiwm.errors import EquiwmError, RepError
from equiwm.locate import RAISED, reason_of
from equiwm.models.clouds import Centring
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.nn.layer import Layer
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep


def _call(function: Callable[..., Any], name: str, *arguments: Tensor) -> Any:
    """Call somebody else's code; what it raises becomes a line that names it and what it was given."""
    try:
        return function(*arguments)
    except (EquiwmError, MemoryError):
        raise
    except RAISED as error:
        shapes = ", ".join(str(tuple(argument.shape)) for argument in arguments)
        raise RepError(f"{name}, given {shapes}, raised {reason_of(error)}") from error


class ForeignLayer(Layer):
    """A module of somebody else's, as a map between flat tensors of two reps.

    It counts as ordinary unless the module says `equivariant = True`: what holds is measured all the same.

    Args:
        module: called as it is; what it returns is flattened to (B, D).
        in_rep: rep of its first argument.
        out_rep: rep of what it gives.
        method: name of the method to call; None calls the module.
        what: what the user calls it, before its class's name in messages (`model.encoder 'my_nets:Encoder': `).
    """

    def __init__(
        self, module: nn.Module, in_rep: Rep, out_rep: Rep, *, method: str | None = None, what: str = ""
    ) -> None:
        super().__init__(in_rep, out_rep, "flat")
        self.module = module
        self.ordinary = not bool(getattr(module, "equivariant", False))
        self.latent_is_state = bool(getattr(module, "latent_is_state", False))
        self._method = method
        self._name = what + type(module).__name__ + ("" if method is None else f".{method}")

    def forward(self, *arguments: Tensor) -> Tensor:
        call: Any = self.module if self._method is None else getattr(self.module, self._method)
        out = _call(call, self._name, *arguments)
        rows = arguments[0].shape[0]
        if not isinstance(out, Tensor) or out.numel() != rows * self.out_rep.dim:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise RepError(
                f"{self._name} gave {got} for {rows} rows; expected a tensor of rep {self.out_rep}, ({rows}, "
                f"{self.out_rep.dim})."
            )
        return out.reshape(rows, self.out_rep.dim)


class StatePredictor(Layer):
    """f(z, a) = F(x, a) flattened, F from an observation (B, *shape) and an action to the next observation.

    The latent is the state; where it holds points they are centred before and after, as `IdentityEncoder` does.
    """

    def __init__(self, module: nn.Module, observation_rep: Rep, group: Group | None = None) -> None:
        super().__init__(observation_rep.linear_part, observation_rep.linear_part, "flat")
        self.module = module
        self.ordinary = not bool(getattr(module, "equivariant", False))
        self._observation_rep, self._centre = observation_rep, Centring(observation_rep, group)

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        rep = self._observation_rep
        shape = (len(latent), *rep.shape)
        out = _call(self.module, type(self.module).__name__, latent.reshape(shape), action)
        if not isinstance(out, Tensor) or tuple(out.shape) != shape:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise RepError(f"{type(self.module).__name__} gave {got}; expected the next observation, {shape}.")
        return self._centre(out).flatten(1)


def as_layer(part: object, in_rep: Rep, out_rep: Rep, what: str) -> Layer:
    """An encoder or predictor as a `Layer`: one as it stands, another module with its reps beside it.

    Raises:
        RepError: it is no module, or a layer of other reps.
    """
    if isinstance(part, Layer):
        for does, given, expected in (("takes", part.in_rep, in_rep), ("gives", part.out_rep, out_rep)):
            if given != expected:
                found = f"{given} in {given.d}D" if isinstance(given, Rep) else f"{given!r}, which is no Rep"
                raise RepError(f"{what}: {type(part).__name__} {does} {found}; expected {expected} in {expected.d}D.")
        return part
    if not isinstance(part, nn.Module):
        raise RepError(f"{what} gave {type(part).__name__}; expected a torch module.")
    return ForeignLayer(part, in_rep, out_rep, what=f"{what}: ")


def as_world_model(model: nn.Module, observation_rep: Rep, action_rep: Rep, group: Group | None = None) -> WorldModel:
    """Any model as a `WorldModel`, in evaluation mode.

    Args:
        model: a `WorldModel`; a module with `encode(observation)` and `predict(latent, action)`, whose `latent_rep` (a
            `Rep`, or text as `Rep.parse` reads it) says how a latent transforms; or a module that maps an observation
            (B, *shape) and an action to the next observation.
        observation_rep: rep of the observations.
        action_rep: rep of the actions.
        group: the world's; None translates in every direction.

    Raises:
        RepError: none of the three, a latent without rep, or a model of other reps.
    """
    if isinstance(model, WorldModel):
        given = model.observation_rep, model.action_rep
        if given != (observation_rep, action_rep):
            raise RepError(
                f"the model takes observations {given[0]} and actions {given[1]}; its world gives {observation_rep} "
                f"and {action_rep}."
            )
        return model.eval()
    if not isinstance(model, nn.Module):
        raise RepError(f"a model is a torch module; got {type(model).__name__}.")
    if hasattr(model, "encode") and hasattr(model, "predict"):
        rep = getattr(model, "latent_rep", None)
        if isinstance(rep, str):
            rep = Rep.parse(rep, observation_rep.d)
        if not isinstance(rep, Rep):
            raise RepError(
                f"{type(model).__name__} has no latent_rep; set it to the rep of its latents, as '8x0e+16x1o'."
            )
        if rep.d != observation_rep.d:
            raise RepError(
                f"{type(model).__name__}.latent_rep {rep} lives in {rep.d}D; the observations in {observation_rep.d}D."
            )
        foreign = ForeignLayer(model, observation_rep, rep, method="encode")
        return WorldModel(foreign, ForeignLayer(model, rep, rep, method="predict"), action_rep).eval()
    encoder = IdentityEncoder(observation_rep, group)
    return WorldModel(encoder, StatePredictor(model, observation_rep, group), action_rep).eval()
