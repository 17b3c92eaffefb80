"""Does it pay to compile a training step? `torch.compile` of the loss against the step as it is, and what it costs."""

import resource
import shutil
import time

import pytest
import torch

from equiwm.config import load
from equiwm.models.factory import build_model
from equiwm.training.fit import Fit, update_target
from equiwm.worlds.factory import build_world

pytestmark = pytest.mark.slow


def _seconds():
    """CPU seconds of this process and of the compilers that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("preset", ["vn-3d", "vn-2d", "vn-2d-arena"])
def test_compiling_a_step_saves_less_than_it_costs(board, preset, monkeypatch, tmp_path):
    """Both steps are of one epoch's first batch; the compiled one has nothing left over from another session."""
    from torch._inductor import config as inductor  # takes seconds to import, of every collection

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    config = load(preset)
    batch = config.training.batch
    world = build_world(config.world)
    data = world.transitions(batch, seed=0).to(torch.float32, "cpu")

    def begun():
        model = build_model(config.model, world.observation_rep, world.action_rep, seed=0)
        return Fit(config.training, model, data, seed=0)

    plain, other = begun(), begun()
    given = plain.batch(plain.batches()[0], None)

    def step(fit, loss):
        fit.optimizers.zero_grad()
        loss(*given).backward()
        fit.optimizers.step()
        update_target(fit.target, fit.model.encoder, fit.config.ema)

    def eager(*columns):
        return plain.objective(plain.model, *columns).total

    compiled = torch.compile(lambda *columns: other.objective(other.model, *columns).total, dynamic=False)
    began = _seconds()
    with inductor.patch(compile_threads=1):  # compilers of its own are waited for, and so counted
        step(other, compiled)
    cost = _seconds() - began
    slow, fast = [], []
    for _ in range(40):
        for side, fit, loss in ((slow, plain, eager), (fast, other, compiled)):
            began = time.process_time()
            step(fit, loss)
            side.append(time.process_time() - began)
    board.pairs(f"step of {preset}, as it is / compiled", list(zip(slow, fast, strict=True)), unit=f"step of {batch}")
    saved = sorted(slow)[20] - sorted(fast)[20]
    updates = config.training.epochs * (config.training.transitions // batch)
    board.note(
        f"updates of {preset} after which compiling has paid, of {updates:,} that it has",
        f"{cost / saved:,.0f}" if saved > 0 else "never",
        cost=f"{cost:.1f} s to compile",
    )
