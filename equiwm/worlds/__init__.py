"""Worlds whose dynamics carries a group. Importing this package after Gymnasium registers their environments there.

Where equiwm is installed Gymnasium finds them by itself (entry point `gymnasium.envs`), whichever is imported first.
"""

import sys

_STEPS = {"PushT": 300, "Cloud": 50, "Body": 50}


def register() -> None:
    """Make the environments known to Gymnasium, once."""
    from gymnasium.envs.registration import register as add
    from gymnasium.envs.registration import registry

    for name, steps in _STEPS.items():
        if f"equiwm/{name}-v0" not in registry:
            entry = f"equiwm.worlds.{name.lower()}.env:{name}Env"
            add(id=f"equiwm/{name}-v0", entry_point=entry, max_episode_steps=steps)


if "gymnasium" in sys.modules:  # not for the sake of a configuration, which needs none of it
    register()
