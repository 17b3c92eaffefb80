"""Worlds whose dynamics carries a group. Importing this package registers their Gymnasium environments."""

import gymnasium

gymnasium.register(id="equiwm/PushT-v0", entry_point="equiwm.worlds.pusht.env:PushTEnv", max_episode_steps=300)
gymnasium.register(id="equiwm/Cloud-v0", entry_point="equiwm.worlds.cloud.env:CloudEnv", max_episode_steps=50)
gymnasium.register(id="equiwm/Body-v0", entry_point="equiwm.worlds.body.env:BodyEnv", max_episode_steps=50)
gymnasium.register(id="equiwm/Table-v0", entry_point="equiwm.worlds.table.env:TableEnv", max_episode_steps=50)
