"""The rollout claim: many steps are as flat as one."""
