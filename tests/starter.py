"""Start the service's processes quickly: fork them from a process that has already imported the service.

A start of the service spends over half a second of CPU time on imports, and the tests start it more than a hundred
times. A forked process still runs the command's own code in a process group of its own, with its own environment,
folder and standard streams. Commands for another user or another program, and settings that the interpreter reads when
it starts, get an ordinary start: `forkable` decides.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

ROOT = Path(__file__).parents[1]
# Modules that the service imports when it needs them, except for OpenTelemetry: a test checks when that is imported.
IMPORTED_LATER = ("aerich.ddl.postgres", "anyio._backends._asyncio", "httpx", "tortoise.context")
READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_")  # prefixes of variables that matter before the first import


def forkable(command: Sequence[str], environment: Mapping[str, str], cwd: Path = ROOT) -> list[str] | None:
    """Return the interpreter's arguments if `command` runs this service with this Python; otherwise None.

    In a folder with another `service`, such as that of a later release, Python imports that one.
    """
    program, *arguments = command
    plain = arguments[2:] if arguments[:2] == ["-W", "error"] else arguments
    ours = plain[:2] == ["-m", "service"] or (plain[:1] == ["-c"] and "service" in plain[1])
    special = [name for name in environment if name.startswith(READ_AT_START) and environment[name] != str(ROOT)]
    another = cwd != ROOT and (cwd / "service").is_dir()
    return arguments if program in {sys.executable, "python"} and ours and not special and not another else None


# A start takes 20 ms of CPU time, because it imports little.
PYTHON = """#!{python} -IS
import json, os, socket, sys

if sys.argv[1:3] != ["-m", "service"]:
    os.execv("{python}", ["{python}", *sys.argv[1:]])
reading, writing = os.pipe()
job = json.dumps({{"arguments": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}}).encode()
with socket.socket(socket.AF_UNIX) as request:
    request.connect("{address}")
    socket.send_fds(request, [len(job).to_bytes(4, "big") + job], [1, 2, writing])
    os.close(writing)
    os.closerange(1, 3)
    sys.exit(int(os.fdopen(reading).read()) & 255)
"""


class Forked:
    """A process that the starter forked, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, pid: int, ended: BinaryIO):
        self.pid, self._ended = pid, ended
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """Return the exit code once the process has ended; negative for a signal."""
        if self.returncode is None:
            self.returncode = int(self._ended.read())
            self._ended.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Starter:
    """The process that has imported the service. It begins with the first start and ends with `stop`."""

    def __init__(self, address: str = ""):
        """Use the starter that listens at `address`, or by default one of its own."""
        self._process: subprocess.Popen | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="doable-starter-")
        self.is_shared = bool(address)
        self.address = address or f"{self._folder.name}/socket"

    def start(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: BinaryIO, stderr: BinaryIO
    ) -> Forked:
        """Run the interpreter's `arguments` in a new session."""
        self.begin()
        reading, writing = os.pipe()
        job = json.dumps({"arguments": [*arguments], "cwd": str(cwd), "env": dict(env)}).encode()
        with socket.socket(socket.AF_UNIX) as request:
            request.connect(self.address)
            socket.send_fds(request, [len(job).to_bytes(4, "big") + job], [stdout.fileno(), stderr.fileno(), writing])
            os.close(writing)
            pid = int.from_bytes(_exactly(request, 4), "big")
        return Forked(pid, os.fdopen(reading, "rb"))

    def begin(self) -> None:
        """Start the process, unless it runs."""
        if self._process is None and not self.is_shared:
            with socket.create_server(self.address, family=socket.AF_UNIX, backlog=100) as listener:
                command = [sys.executable, "-m", "tests.starter", str(listener.fileno())]
                environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
                self._process = subprocess.Popen(
                    command, cwd=ROOT, env=environment, pass_fds=[listener.fileno()],
                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                )  # fmt: skip

    def write_python(self, path: Path) -> None:
        """Write a program that runs `-m service` with the starter, in its folder and environment, and else Python.

        The shell of a test waits for it and gets its exit code. It passes on no signals.
        """
        self.begin()
        path.write_text(PYTHON.format(python=sys.executable, address=self.address))
        path.chmod(0o755)

    def stop(self) -> None:
        """End the starter, unless it is shared; the processes that it has started continue."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
        self._folder.cleanup()


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        more = connection.recv(size - len(received))
        if not more:
            raise EOFError
        received += more
    return received


def _serve(listener: socket.socket) -> dict:
    """Fork a child for each request and report its end. Returns only in a child, with the arguments to run."""
    waking, woken = os.pipe()
    for end in (waking, woken):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reports: dict[int, int] = {}  # by process id: the pipe that takes its exit code
    while True:
        ready = select.select([listener, waking, sys.stdin], [], [])[0]
        if waking in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(waking, 4096)
            _report(reports)
        if sys.stdin in ready:
            os._exit(0)
        if listener not in ready:
            continue
        request = listener.accept()[0]
        head, files, _, _ = socket.recv_fds(request, 4, 3)
        if not head:  # the test was interrupted
            request.close()
            continue
        size = int.from_bytes(head + _exactly(request, 4 - len(head)), "big")
        job = json.loads(_exactly(request, size))
        stdout, stderr, report = files
        if pid := os.fork():
            reports[pid] = report
            for file in (stdout, stderr, request.detach()):
                os.close(file)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        request.sendall(os.getpid().to_bytes(4, "big"))
        for file in (*files, *reports.values(), nothing, waking, woken, request.detach(), listener.detach()):
            os.close(file)
        return job


def _report(reports: dict[int, int]) -> None:
    for pid in [*reports]:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            report = reports.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(report)


def _run(arguments: list[str], cwd: str, env: dict[str, str]) -> NoReturn:
    """Run the interpreter's arguments in this process, as Python itself would after its start."""
    # The streams of the starter took its own standard output for a file that can be rewound, unlike a pipe.
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor, for the whole run
    sys.stderr = open(  # noqa: SIM115 - likewise, for the whole run
        2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
    )
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[0] = cwd
    strict = arguments[:2] == ["-W", "error"]
    if strict:
        warnings.simplefilter("error")
        arguments = arguments[2:]
    how, what, *rest = arguments
    sys.argv = [how, *rest]
    try:
        if how == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), vars(sys.modules["__main__"]))
        sys.exit()
    except SystemExit as ended:
        if strict or not isinstance(ended.code, int | None):
            raise
        code = ended.code or 0
    if how == "-c":
        vars(sys.modules["__main__"]).clear()
    _end(code)


def _end(code: int) -> NoReturn:
    """End this process as the interpreter does, but do not destroy the modules.

    Their destruction would copy most of the memory that the process shares with the starter: 0.04 s of CPU time, more
    than many commands take. Processes with `-W error` end as usual, and report what only the destruction finds.
    """
    threading._shutdown()  # as the interpreter does, to wait for threads and executors
    atexit._run_exitfuncs()
    gc.collect()  # reports coroutines that nothing has awaited, and tasks that have not ended
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 255)


if __name__ == "__main__":
    importlib.import_module("service.__main__")
    for name in IMPORTED_LATER:
        importlib.import_module(name)
    del sys.modules["service.__main__"]  # each child runs it again, as its main module
    # The end of a child would otherwise collect, and therefore copy, all objects of the imports: 0.18 s of CPU time.
    gc.collect()
    gc.freeze()
    _run(**_serve(socket.socket(fileno=int(sys.argv[1]))))
