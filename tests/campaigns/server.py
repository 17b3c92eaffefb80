"""A process that has imported everything and forks for each command: `python -m campaigns.server`.

It reads requests and writes answers, a line of JSON each. A command runs in a session of its own, as if it had been
started by a shell; it ends as an interpreter does, but for the modules, which are not torn down.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from campaigns.waiting import wait


def prepare() -> None:
    """Import everything, and have done before the first fork what commands do once."""
    import_everything()
    _rehearse()
    gc.collect()
    gc.freeze()  # a forked process does not copy what it never looks at


def import_everything() -> None:
    """Import what commands import; no tensor is computed, for threads of torch do not survive a fork."""
    import matplotlib as mpl
    import torch

    import equiwm

    mpl.use("agg")
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(equiwm.__path__, "equiwm."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # an extra that is not installed
                importlib.import_module(module.name)


def _rehearse() -> None:
    """Run each command once, so that what is imported and cached in its midst is there before the first fork."""
    from campaigns.commands import LOOP, SETTINGS, SWEEP, VERIFY
    from campaigns.drawing import noise_drawn
    from equiwm.cli.main import run

    sequence = (
        ["train", "--preset", "mlp-2d", "--name", "one", *SETTINGS],
        ["ablate", "toy_study:KIND", "--jobs", "1"],
        *(["verify-equivariance", *VERIFY], ["sweep-group", *SWEEP], ["closed-loop", *LOOP]),
        *(["report", "runs", "--out", "report.md"], ["fsck", "runs", "--repair"]),
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        for arguments in sequence:
            # Whoever draws a loop's figures, or an ablation's, draws noise.
            with contextlib.nullcontext() if arguments[0] == "sweep-group" else noise_drawn():
                status = run(arguments)
            if status > 1:
                raise RuntimeError(f"{arguments}: status {status}")


def child(
    command: Callable[[dict[str, Any]], None], request: dict[str, Any], say: Callable[[int], None] | None = None
) -> NoReturn:
    """What becomes of the forked process: the command, and then its end, of which `say` may tell the status."""
    status: Any = 70
    try:
        command(request)
    except SystemExit as error:
        status = error.code or 0
    except BaseException:
        traceback.print_exc()
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        if say:
            say(status)
    os._exit(status)


def _command(request: dict[str, Any]) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whatever the shell has had ignored
        signal.signal(number, signal.SIG_DFL)
    os.chdir(request["folder"])
    streams = (os.open(os.devnull, os.O_RDONLY), *(os.open(request[name], os.O_WRONLY | os.O_CREAT) for name in "oe"))
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.update(request.get("environment", {}))
    sys.argv = ["equiwm", *request["arguments"]]
    if "memory" in request:
        resource.setrlimit(resource.RLIMIT_AS, (_virtual() + request["memory"],) * 2)
    if "cpu" in request:
        resource.setrlimit(resource.RLIMIT_CPU, (request["cpu"],) * 2)
    if "spare" in request:
        _spare(request["spare"])
    if request.get("fault"):
        from campaigns.faults import Faults

        Faults(**request["fault"]).install()
    from campaigns.drawing import noise_drawn
    from equiwm.cli.main import main

    try:
        with contextlib.nullcontext() if request.get("drawing", True) else noise_drawn():
            main()
    finally:
        if "spare" in request:  # what is called when the interpreter ends is others'
            _BALLAST[0] = None
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)


_BALLAST: list[Any] = [None]


def _spare(size: int) -> None:
    """Use up what memory this process holds already, and let it have `size` bytes more."""
    import torch

    torch.zeros(1)
    here, hard = _virtual(), resource.getrlimit(resource.RLIMIT_AS)[1]
    after = (here + size, hard)
    reserve = [bytes(piece) for piece in range(0, 512, 16) for _ in range(100)]
    resource.setrlimit(resource.RLIMIT_AS, (here, hard))
    for piece in (2**20, 2**16, 2**13, *range(512, 0, -16)):
        with suppress(MemoryError):
            while True:  # a chain, for a list would have to grow, which takes memory in one piece
                _BALLAST[0] = (bytes(piece), _BALLAST[0])
    del reserve
    resource.setrlimit(resource.RLIMIT_AS, after)


def _virtual() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def serve() -> None:
    """Answer until nobody asks any more."""
    prepare()
    # Of their own, not the standard streams: those are the command's.
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"ready": time.process_time()}), file=answers, flush=True)
    for line in iter(requests.readline, ""):
        request = json.loads(line)
        if "wait" in request:
            answer = wait(request["wait"], request["seconds"])
        else:
            process = os.fork()
            if process == 0:
                os.close(requests.fileno())
                os.close(answers.fileno())
                child(_command, request)
            answer = {"process": process}
        with suppress(BrokenPipeError):  # whoever asked has ended
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
