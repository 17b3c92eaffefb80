"""Whether the files of a distilled policy are whole and belong together."""

from __future__ import annotations

import os
from collections.abc import Sequence

from equiwm.claims.distill.claim import CLAIM
from equiwm.claims.distill.result import DistillResult
from equiwm.claims.registry import Stored
from equiwm.distilling.run import read_policy_resume
from equiwm.fsck.finding import Findings
from equiwm.layout.history import require_history
from equiwm.loading import own_data, policy_network, read_policy
from equiwm.runs import Run
from equiwm.training.run import leaves_resume_point
from equiwm.worlds.factory import build_world


def check_policy(run: Run, results: Sequence[Stored] | None, found: Findings) -> None:
    """What is wrong with a policy, from its files alone: its teacher is not asked.

    Args:
        run: the policy's run.
        results: the results in its metrics.json that are sound; None where that cannot be read.
        found: is told.
    """
    config, settings = found.of(lambda: run.config), found.of(lambda: run.policy)
    if config is None or settings is None:
        return
    policy = found.of(lambda: policy_network(run, build_world(run.config.world)))
    if policy is None:
        return
    made = next((each.measured.result for each in results or () if each.claim.name == CLAIM.name), None)
    epochs = settings[0].total_epochs
    if os.path.lexists(run.checkpoint):
        read = found.of(lambda: read_policy(run, policy))
        sha = None if read is None else read[1].history_sha256
        found.of(lambda: require_history(run.history_path, epochs, sha, run.checkpoint))
        _check_history(run, made, epochs, found)
        if os.path.lexists(run.resume_point) and leaves_resume_point(run):
            found.add(
                f"{run.resume_point} is left from a distillation that is complete; equiwm fsck --repair removes it.",
                run.resume_point,
            )
        elif os.path.lexists(run.resume_point):
            found.add(f"{run.resume_point} is no state of this policy, which is complete; move it away.")
        if results is not None and made is None:
            found.add(
                f"{run.metrics_path} has lost its section 'distill'; restore it, or distill under another --name."
            )
        elif made is not None and not run.summary.is_file():
            found.add(f"{run.path} has no summary; {run.resume_command} writes it.")
    elif os.path.lexists(run.resume_point):
        found.of(lambda: read_policy_resume(run, policy))
    elif made is not None:  # a copy without its checkpoint
        found.of(lambda: require_history(run.history_path, epochs, None, run.metrics_path))
        _check_history(run, made, epochs, found)
    else:
        found.of(run.history)
    if os.path.lexists(run.data_path):
        found.of(lambda: own_data(run))


def _check_history(run: Run, made: object, epochs: int, found: Findings) -> None:
    """Whether history and result are of the same distillation, which was that of the run's seed and teacher."""
    history, teacher = found.of(run.history), run.policy[1]
    if not history or not isinstance(made, DistillResult):
        return
    if (made.seed, made.teacher_sha256) != (run.header.seed, teacher.checkpoint_sha256):
        found.add(
            f"{run.metrics_path}: distill is of seed {made.seed} and teacher {made.teacher_sha256[:12]}, and "
            f"{run.config_path} of seed {run.header.seed} and {teacher.checkpoint_sha256[:12]}; restore the file that "
            "belongs there."
        )
    ends = history[0].get("loss"), history[-1].get("loss")
    if history[-1]["epoch"] > epochs or ends != (made.first_loss, made.final_loss):
        found.add(
            f"{run.history_path} is not the history of the distillation in {run.metrics_path}: it is longer, or the "
            "first or the last loss is another; restore the file that belongs there."
        )
