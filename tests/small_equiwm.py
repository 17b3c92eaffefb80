"""`equiwm` with every size made small, as a program: what the commands of the documents run as in the tests.

EQUIWM_SIZES=full in the environment makes nothing small. Exit status 1, a verdict that fails, becomes 0 with
EQUIWM_VERDICTS=pass, for networks that were hardly trained cannot pass every verdict.
"""

from __future__ import annotations

import os
import sys

from small import LOOP, TRAINING

from equiwm.claims.reproduce.registry import CLAIMS
from equiwm.cli.main import run


def _set(*assignments: str) -> list[str]:
    return [part for assignment in assignments for part in ("--set", assignment)]


SMALLER = {
    "collect": ["--episodes", "20"],
    "train": _set(*TRAINING),
    "verify-equivariance": ["--samples", "2"],
    "sweep-group": ["--bins", "4", "--transitions", "40"],
    "rollout": ["--sequences", "8"],
    "closed-loop": ["--tasks", "2", *_set(*LOOP)],
    "ablate": ["--seeds", "1"],
    "compare": ["--episodes", "2"],
    "reproduce": ["small:ROLLOUT", "--seeds", "1"],
}
"""Options that override those of a command line, since the last one counts."""
HERE = {"--jobs": "1", "--world-rollouts": "4", "--seeds": "0-1"}
"""Values of options where a command line has them: no processes of their own, few rollouts, two trainings."""


def smaller(arguments: list[str]) -> list[str]:
    """A command line of the same options at small sizes."""
    command, *rest = arguments
    for index, word in enumerate(rest[:-1]):
        if word in HERE:
            rest[index + 1] = HERE[word]
    if command in ("ablate", "closed-loop", "compare"):
        rest += ["--jobs", "1"]
    if "--success" in rest:
        return [command, *rest, "--bins", "4", "--tasks", "2", "--jobs", "1"]
    if command == "compare":
        settings = ",".join(LOOP)
        rest[:2] = [f"{side}{',' if ':' in side else ':'}{settings}" for side in rest[:2]]
    if command == "reproduce":  # the reference is there already; of --seeds the last one counts
        rest = ["small" if word == "reference" else word for word in rest if word not in CLAIMS]
    if command == "ablate":
        rest[0] = f"small:ABLATIONS.{rest[0]}"
    return [command, *rest, *SMALLER.get(command, [])]


def run_small(arguments: list[str]) -> int:
    """A command at the sizes that the environment asks for, and its exit status."""
    status = run(arguments if os.environ.get("EQUIWM_SIZES") == "full" else smaller(arguments))
    return 0 if status == 1 and os.environ.get("EQUIWM_VERDICTS") == "pass" else status


if __name__ == "__main__":
    sys.exit(run_small(sys.argv[1:]))
