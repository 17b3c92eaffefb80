"""A gripper that pushes and drags a block on a table: a user's environment, which knows nothing of equiwm.

    s = (hand (2,), block (2,), angle, contact, width)

The hand moves by 0.05 of the push. A block near the hand is taken along, the more the closer the gripper is; pushed
off its middle, it is turned as well. All of it is smooth, and commutes with rotations and translations of the plane.
"""

import gymnasium
import numpy as np

PERIOD, REACH, HALF = 0.05, 0.12, 0.06
"""Length of a step, distance at which the block is felt, half of its side."""


class GripperPush(gymnasium.Env):
    """Move the block by a hand that opens and closes."""

    def __init__(self):
        def box(low, high, *shape):
            return gymnasium.spaces.Box(low, high, shape, np.float64)

        self.observation_space = gymnasium.spaces.Dict(
            {
                "hand": box(-np.inf, np.inf, 2),
                "block": box(-np.inf, np.inf, 2),
                "angle": box(-np.pi, np.pi, 1),
                "contact": box(0.0, 1.0, 1),
                "width": box(0.0, 1.0, 1),
            }
        )
        self.action_space = box(-1.0, 1.0, 3)  # a push of the hand, and how fast the gripper opens
        self.hand, self.block, self.angle, self.width = np.zeros(2), np.zeros(2), 0.0, 1.0

    def reset(self, *, seed=None, options=None):
        """The block lies ahead, to the east within 40 degrees, and looks about that way; the hand is near it."""
        super().reset(seed=seed)
        rng = self.np_random
        way = rng.uniform(-0.7, 0.7)
        self.block = rng.uniform(0.2, 0.5) * np.array([np.cos(way), np.sin(way)])
        self.angle = rng.uniform(-0.7, 0.7)
        self.hand = self.block + rng.uniform(-0.12, 0.12, 2)
        self.width = rng.uniform(0.0, 1.0)
        return self.observe(), {}

    def step(self, action):
        """One step under (push x, push y, opening)."""
        push = PERIOD * np.asarray(action, dtype=np.float64)[:2]
        self.width = self.width + 0.3 * float(action[2]) * (self.width * (1.0 - self.width) + 0.05)
        self.width = float(np.clip(self.width, 0.0, 1.0))
        grip = self.contact() * (1.0 - 0.5 * self.width)
        arm = self.hand - self.block
        self.angle += 4.0 * grip * float(arm[0] * push[1] - arm[1] * push[0]) / REACH
        self.angle = float(np.arctan2(np.sin(self.angle), np.cos(self.angle)))
        self.block = self.block + grip * push
        self.hand = self.hand + push
        return self.observe(), 0.0, False, False, {}

    def contact(self):
        """How much of the block is in the gripper, 0 to 1."""
        return float(np.exp(-np.sum((self.hand - self.block) ** 2) / (2.0 * REACH**2)))

    def observe(self):
        """All of the state, and the contact that follows from it."""
        angle, contact, width = (np.array([value]) for value in (self.angle, self.contact(), self.width))
        return {
            "hand": self.hand.copy(),
            "block": self.block.copy(),
            "angle": angle,
            "contact": contact,
            "width": width,
        }

    def set_observation(self, observation):
        """Put hand, block and gripper where an observation shows them."""
        self.hand, self.block = (np.array(observation[name], dtype=np.float64) for name in ("hand", "block"))
        self.angle, self.width = float(observation["angle"][0]), float(observation["width"][0])


gymnasium.register("GripperPush-v0", GripperPush, max_episode_steps=60)
