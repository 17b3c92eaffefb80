"""What is asked of a world before anything is compared: what fails here would be read as a broken symmetry.

A refusal names the reason: a state that is not what was set, a simulator that answers otherwise the second time, an
action on states that is none of the group, a symmetry that changes nothing, a world that never moves.
"""

from __future__ import annotations

import numpy as np

from equiwm.errors import DataError
from equiwm.evidence.world.columns import Column, differences
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.rollouts import rollout
from equiwm.symmetry.elements import Elements

_HOLDS = 1e-9
"""How far a state that is read back may be from the one that was set, relative to the channel's size."""
_LAW = 1e-9
"""How far g (h s) may be from (g h) s, relative to the channel's size."""
_STEPS = 8


def preflight(probe: WorldProbe, starts: np.ndarray, plans: np.ndarray, elements: Elements) -> tuple[float, bool]:
    """Ask everything.

    Returns:
        The unit roundoff of the numbers that the simulator keeps its state in, float64's or float32's; and whether a
        state says all there is: a rollout that is taken up in its middle goes on as it would have.

    Raises:
        DataError: a world that nothing can be said of; the message says why.
    """
    columns = probe.columns(starts.shape[1])
    typical = max(float(np.sqrt(np.mean(np.square(starts)))), 1e-12)
    sizes = np.array([max(column.size(starts), 1e-3 * typical) for column in columns])
    _holds(probe, starts, columns, sizes)
    _repeats(probe, starts, plans, columns, sizes)
    _group_law(probe, starts, plans, elements, columns, sizes)
    runs = [rollout(probe.running, start, plan[:_STEPS]) for start, plan in zip(starts, plans, strict=True)]
    states = np.array([run.states for run in runs])
    if np.array_equal(states[:, 1:], states[:, :-1]):
        raise DataError(f"{probe.name} never moves under these actions: every dynamics is symmetric that does nothing.")
    reached = states[:, 1:]
    short = np.array_equal(reached.astype(np.float32).astype(np.float64), reached)
    eps = float(np.finfo(np.float32 if short else np.float64).eps)
    half = min(_STEPS, plans.shape[1]) // 2
    pairs = zip(runs, plans, strict=True)
    again = np.array([rollout(probe.running, run.states[half], plan[half:_STEPS]).states for run, plan in pairs])
    complete = half > 0 and np.array_equal(again, states[:, half:])
    return eps, complete


def _worst(columns: tuple[Column, ...], apart: np.ndarray, sizes: np.ndarray) -> tuple[float, str]:
    """The largest relative difference (..., C), and the channel that has it."""
    flat = (apart / sizes).reshape(-1, len(columns)).max(0)
    k = int(flat.argmax())
    return float(flat[k]), columns[k].name


def _holds(probe: WorldProbe, starts: np.ndarray, columns: tuple[Column, ...], sizes: np.ndarray) -> None:
    held = []
    for start in starts:
        probe.running.place(start)
        held.append(probe.running.state())
        if held[-1].shape != start.shape:
            raise DataError(f"a state of {len(start)} numbers was set and {len(held[-1])} were read back.")
    apart = differences(columns, np.array(held), starts)
    off, name = _worst(columns, apart, sizes)
    if off > _HOLDS and np.array_equal(starts.astype(np.float32), np.array(held).astype(np.float32)):
        return  # it is kept in float32
    if off > _HOLDS:
        k = next(k for k, column in enumerate(columns) if column.name == name)
        raise DataError(
            f"the state that was set does not hold: '{name}' comes back {float(apart[..., k].max()):.2g} away. The "
            "reset moves what was set; give states as the simulator holds them, or set it without stepping."
        )


def _repeats(
    probe: WorldProbe, starts: np.ndarray, plans: np.ndarray, columns: tuple[Column, ...], sizes: np.ndarray
) -> None:
    start, plan = starts[0], plans[0, :_STEPS]
    first = rollout(probe.running, start, plan).states
    again = rollout(probe.running, start, plan).states
    off, name = _worst(columns, differences(columns, first, again), sizes)
    if off > 0.0 and off > 4 * np.finfo(np.float64).eps:
        raise DataError(
            f"not deterministic: two rollouts from one state under the same actions are {off:.1e} apart in '{name}' "
            "(relative). Seed what is random where the state is set, or switch it off."
        )
    rollout(probe.running, starts[1], plans[1])
    later = rollout(probe.running, start, plan).states
    off, name = _worst(columns, differences(columns, first, later), sizes)
    if off > 4 * np.finfo(np.float64).eps:
        raise DataError(
            f"the state hides something: a rollout after another one differs from the first by {off:.1e} in '{name}' "
            "(relative). Setting the state has to clear what the simulator remembers, or the state has to hold it."
        )


def _group_law(
    probe: WorldProbe,
    starts: np.ndarray,
    plans: np.ndarray,
    elements: Elements,
    columns: tuple[Column, ...],
    sizes: np.ndarray,
) -> None:
    """(g h) s = g (h s), e s = s, and some g that does something, for states and actions."""
    state, action = starts[0], plans[0, 0]
    act = max(float(np.abs(plans).max()), 1e-12)
    identity = probe.symmetry.identity()
    off, name = _worst(columns, differences(columns, probe.acts_on_state(state, identity), state), sizes)
    if off > _LAW:
        raise DataError(f"the action on states moves '{name}' by {off:.1e} under the identity; expected nothing.")
    moves = False
    for k in range(min(len(elements), 6)):
        g, h = elements[k], elements[(k + 1) % len(elements)]
        once, twice = probe.acts_on_state(state, g @ h), probe.acts_on_state(probe.acts_on_state(state, h), g)
        off, name = _worst(columns, differences(columns, once, twice), sizes)
        if off > _LAW:
            law = "twice is not the identity" if probe.symmetry.order == 2 else "g (h s) is not (g h) s"
            raise DataError(
                f"the action on states is no action of {probe.symmetry}: {law}, '{name}' is off by {off:.1e}."
            )
        once, twice = probe.acts_on_action(action, g @ h), probe.acts_on_action(probe.acts_on_action(action, h), g)
        off = float(np.abs(once - twice).max()) / act
        if off > _LAW:
            raise DataError(f"the action on actions is no action of {probe.symmetry}: it is off by {off:.1e}.")
    for k in range(len(elements)):
        turned = np.array([probe.acts_on_state(start, elements[k]) for start in starts])
        pushed = np.array([probe.acts_on_action(plan[0], elements[k]) for plan in plans])
        moves = moves or float((differences(columns, turned, starts) / sizes).max()) > 1e-9
        moves = moves or float(np.abs(pushed - plans[:, 0]).max()) > 1e-9 * act
    if not moves:
        raise DataError(
            f"no element of {probe.symmetry} changes a state or an action of {probe.name}: it holds for every world."
        )
