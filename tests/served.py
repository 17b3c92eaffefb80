"""A program `equiwm` that does not start anew for each command: a server has imported everything, and forks.

`python served.py SOCKET` serves. `write_program` writes the program that asks it: arguments, environment, folder and
the three streams go over, the status comes back.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

ASK = """#!{python} -ISE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
    socket.send_fds(server, [json.dumps(request).encode() + b"\\n"], [0, 1, 2])
    status = server.recv(8)
sys.exit(int(status) if status else "the command died")
"""


def write_program(path: Path, address: Path) -> None:
    """The program that asks the server at an address."""
    path.write_text(ASK.format(python=sys.executable, address=str(address)))
    path.chmod(0o755)


@contextmanager
def serving(folder: Path) -> Iterator[Path]:
    """The address of a server, which ends with the block."""
    address = folder / "socket"
    with subprocess.Popen(
        [sys.executable, __file__, str(address)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield address
        server.terminate()


def serve(address: str) -> None:
    """Fork for whoever asks, until it is ended."""
    from campaigns.server import import_everything

    import_everything()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            asking, _ = listener.accept()
            with suppress(ChildProcessError):  # a command sends its own status: what has ended is only cleared away
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            text, streams, _, _ = socket.recv_fds(asking, 2**16, 3)
            while not text.endswith(b"\n"):
                text += asking.recv(2**16)
            if os.fork() == 0:
                listener.close()
                command(asking, json.loads(text), streams)
            asking.close()
            for stream in streams:
                os.close(stream)


def command(asking: socket.socket, request: dict[str, Any], streams: list[int]) -> NoReturn:
    """One command, in a forked process, to its end."""
    from campaigns.server import child
    from small_equiwm import run_small

    def run(request: dict[str, Any]) -> None:
        os.chdir(request["folder"])
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = ["equiwm", *request["arguments"]]
        sys.exit(run_small(request["arguments"]))

    child(run, request, lambda status: asking.sendall(str(status).encode()))


if __name__ == "__main__":
    serve(sys.argv[1])
