"""Environments as users have them: carts on a plane, each with one thing of its own."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Cart(gymnasium.Env):
    """A cart is pushed: position and velocity, (x, y, vx, vy); by a force inside a box, and a brake."""

    dtype = np.float64

    def __init__(self, wind=0.0, low=-1.0):
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), self.dtype)
        self.action_space = spaces.Box(np.array([low, low, 0.0]), np.array([2.0, 1.0, 0.5]), dtype=np.float64)
        self.wind, self.state = wind, np.zeros(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = np.array([1.0, 0.0, 0.0, 0.0]) + 0.2 * self.np_random.normal(size=4)
        return self.observe(), {}

    def step(self, action):
        force, brake = np.asarray(action[:2], dtype=np.float64), float(action[2])
        velocity = (1.0 - brake) * self.state[2:] + 0.1 * force - 0.1 * self.state[:2]
        velocity = velocity + np.array([self.wind, 0.0])
        self.state = np.concatenate([self.state[:2] + 0.1 * velocity, velocity])
        return self.observe(), -1.0, self.over(), False, {}

    def over(self):
        return False

    def observe(self):
        return self.state.astype(self.dtype)


class Settable(Cart):
    """Its state is its observation."""

    def set_state(self, state):
        self.state = np.array(state, dtype=np.float64)

    def get_state(self):
        return self.state.copy()


class Single(Settable):
    """It shows float32."""

    dtype = np.float32


class Hidden(Settable):
    """It shows where it is, and not how fast."""

    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def observe(self):
        return self.state[:2].copy()

    def set_observation(self, observation):
        self.state[:2] = observation


class Ending(Settable):
    """An episode ends where the cart is fast."""

    def over(self):
        return bool(np.linalg.norm(self.state[2:]) > 0.35)


class Raising(Settable):
    """Something fails in some episodes, late."""

    def reset(self, *, seed=None, options=None):
        self.count = 0
        self.fails = seed is not None and seed % 7 == 3
        return super().reset(seed=seed)

    def step(self, action):
        self.count += 1
        if self.fails and self.count == 6:
            raise RuntimeError("the motor is hot")
        return super().step(action)


class Random(Cart):
    """Its random numbers come from nowhere."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = np.random.default_rng().normal(size=4)
        return self.observe(), {}


class Pixels(Cart):
    """It shows a picture."""

    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)

    def observe(self):
        return np.zeros((8, 8, 3), np.uint8)


class Choice(Settable):
    """Its action is a choice."""

    def __init__(self):
        super().__init__()
        self.action_space = spaces.Discrete(4)


class Broken(Settable):
    """It shows something that is not finite."""

    def observe(self):
        return np.full(4, np.nan)


class Turning(gymnasium.Env):
    """A compass in space: a Dict of a quaternion, a place, a heading in degrees, a picture and a temperature."""

    def __init__(self):
        wide = (-np.inf, np.inf)
        self.observation_space = spaces.Dict(
            {
                "pose": spaces.Dict({"place": spaces.Box(*wide, (3,)), "turn": spaces.Box(-1, 1, (4,), np.float64)}),
                "heading": spaces.Box(-360.0, 360.0, (1,), np.float64),
                "heat": spaces.Box(*wide, (2,), np.float64),
                "camera": spaces.Box(0, 255, (4, 4, 3), np.uint8),
            }
        )
        self.action_space = spaces.Dict({"push": spaces.Box(-1.0, 1.0, (3,), np.float64)})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        rng = self.np_random
        turn = rng.normal(size=4)
        turn = turn / np.linalg.norm(turn) * np.sign(turn[3])
        self.row = [rng.normal(size=3).astype(np.float32), turn, rng.uniform(-170, 170, 1), rng.normal(size=2)]
        return self.observe(), {}

    def step(self, action):
        self.row[0] = (self.row[0] + 0.1 * action["push"]).astype(np.float32)
        return self.observe(), 0.0, False, False, {}

    def observe(self):
        place, turn, heading, heat = self.row
        camera = np.zeros((4, 4, 3), np.uint8)
        return {"pose": {"place": place, "turn": turn}, "heading": heading, "heat": heat, "camera": camera}

    def set_observation(self, observation):
        pose = observation["pose"]
        self.row = [pose["place"], pose["turn"], observation["heading"], observation["heat"]]


def homewards(observation, rng):
    """A scripted policy: towards the origin, with some noise."""
    return np.append(-0.5 * observation[:2] + 0.05 * rng.normal(size=2), 0.1)


for kind in (Cart, Settable, Single, Hidden, Ending, Raising, Random, Pixels, Choice, Broken, Turning):
    gymnasium.register(f"{kind.__name__}-v0", kind, max_episode_steps=20)
