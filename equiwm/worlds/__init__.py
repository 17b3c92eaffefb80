"""Worlds whose dynamics carries a group. Importing this package registers their Gymnasium environments."""

import gymnasium

gymnasium.register(id="equiwm/PushT-v0", entry_point="equiwm.worlds.pusht_env:PushTEnv", max_episode_steps=300)
