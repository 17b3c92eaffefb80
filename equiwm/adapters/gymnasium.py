"""A policy of a Gymnasium environment: `policy_probe(policy, env, group, observation, action)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from equiwm.audit.probe import Probe
from equiwm.audit.pytree import Path, label, leaves
from equiwm.audit.typed import SAME, declared, typed_leaves, undeclared
from equiwm.errors import DataError, RepError
from equiwm.symmetry.group import Group

Spaces = tuple[gymnasium.Space[Any], gymnasium.Space[Any]]


def policy_probe(
    policy: Callable[..., Any] | Any,
    env: gymnasium.Env[Any, Any] | Spaces,
    group: Group | str,
    observation: Any,
    action: Any,
    *,
    observations: Sequence[Any] | None = None,
    samples: int = 64,
    seed: int = 0,
    **options: Any,
) -> Probe:
    """The probe of a deterministic policy pi(o) = a, called with one observation at a time, as an environment does.

    Args:
        policy: a callable, or an object with `predict(observation, **options)` that gives an action, or an action and
            a state (Stable-Baselines3; pass deterministic=True).
        env: an environment, or its (observation space, action space).
        group: a group or its name.
        observation: rep of a Box, or reps in the form of a Dict or Tuple space; `same` for what does not turn.
        action: rep of the action, or reps in the form of its space. A Discrete action is a choice and does not turn
            by a matrix: judge the logits, with a probe of the network.
        observations: recorded ones; else they are recorded along random actions, or drawn from the space where there
            is no environment.
        samples: how many are recorded.
        seed: of what is recorded.
        options: of `predict`.

    Raises:
        DataError: a policy that cannot be called, spaces that are none, an observation outside of its space's form, or
            no observations.
        RepError: reps that do not fit the spaces.
    """
    space, actions = env if isinstance(env, tuple) else (env.observation_space, env.action_space)
    for what, found in (("observation", space), ("action", actions)):
        if not isinstance(found, gymnasium.Space):
            raise DataError(f"{what} space: got {type(found).__name__}, expected a gymnasium space.")
    if not callable(policy) and not callable(getattr(policy, "predict", None)):
        raise DataError(f"policy: got {type(policy).__name__}, expected a callable or an object with predict.")
    if isinstance(actions, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete | gymnasium.spaces.MultiBinary):
        raise RepError(
            f"the action space is {type(actions).__name__}: a choice does not turn by a matrix; judge the logits or "
            "values of the network with a Probe."
        )
    acting = group if isinstance(group, Group) else Group.parse(group)
    d = acting.d or 3
    _check_space(space, observation, d, "observation")
    _check_space(actions, action, d, "action")
    kept = _recorded(env, space, samples, seed) if observations is None else [_plain(each) for each in observations]
    if not kept:
        raise DataError("observations: got none.")
    for index, each in enumerate(kept):
        _check_form(space, each, index)
    return Probe(_Policy(policy, options), kept, acting, takes=observation, gives=action)


class _Policy:
    """A policy as a function of one observation."""

    def __init__(self, policy: Any, options: Mapping[str, Any]) -> None:
        self.policy, self.options = policy, dict(options)

    def __call__(self, observation: Any) -> Any:
        predict = getattr(self.policy, "predict", None)
        if not callable(predict):
            return self.policy(observation, **self.options)
        made = predict(observation, **self.options)
        return made[0] if isinstance(made, tuple) and len(made) == 2 else made  # (action, state)


def _plain(observation: Any) -> Any:
    """Floating numbers as arrays of numpy; what a space gives is one already."""
    return dict(observation) if isinstance(observation, Mapping) else observation


def _recorded(env: Any, space: gymnasium.Space[Any], samples: int, seed: int) -> list[Any]:
    """Observations along random actions; drawn from the space without an environment."""
    if isinstance(env, tuple):
        space.seed(seed)
        return [_plain(space.sample()) for _ in range(samples)]
    env.action_space.seed(seed)
    seen, _ = env.reset(seed=seed)
    found = []
    for _ in range(samples):
        found.append(_plain(seen))
        seen, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            seen, _ = env.reset()
    return found


def _check_space(space: gymnasium.Space[Any], reps: Any, d: int, what: str) -> None:
    """Whether reps fit a space, whatever is drawn from it.

    Raises:
        RepError: they do not, or an array of the space has none.
    """
    drawn = _plain(space.sample())
    there, told = leaves(drawn), declared(reps, what)
    for path in told:
        if path not in there:
            known = ", ".join(label(each) for each in there)
            raise RepError(f"{what}: its space has no {label(path)}; it has {known}.")
    found = typed_leaves(drawn, reps, d, what)
    if not found and what == "action":
        raise RepError(f"action: got '{SAME}' for every part, expected the rep of one at least.")
    missing: list[Path] = undeclared(drawn, reps, what) if what == "observation" else []
    if missing:
        raise RepError(
            f"{what}: nothing is said of {label(missing[0])} of the space, shape {np.shape(there[missing[0]])}: give "
            "its rep, or 'same' if it does not turn."
        )


def _check_form(space: gymnasium.Space[Any], observation: Any, index: int) -> None:
    expected = {path: np.shape(leaf) for path, leaf in leaves(_plain(space.sample())).items()}
    got = {path: np.shape(leaf) for path, leaf in leaves(observation).items()}
    for path, shape in expected.items():
        if got.get(path) != shape:
            said = "nothing" if path not in got else f"shape {got[path]}"
            raise DataError(f"observations[{index}]: {label(path)}: got {said}, its space has shape {shape}.")
