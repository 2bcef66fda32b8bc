"""Processes of the tests' starter behave like processes of an ordinary start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from service import __version__
from tests.starter import Forked, forkable

PROGRAM = """
import json, os, service, sys
print(json.dumps([dict(os.environ), os.getcwd(), sys.argv, sys.path[0], __name__, os.getsid(0) == os.getpid()]))
print("not a line of the log", file=sys.stderr)
{end}
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [("", 0), ("sys.exit(3)", 3), ("sys.exit('why')", 1), ("1 / 0", 1), ("os.kill(os.getpid(), 9)", -signal.SIGKILL)],
)
@pytest.mark.parametrize("forked", [True, False])
async def test_a_started_process_has_its_own_settings_folder_streams_and_exit_code(launch, tmp_path, end, code, forked):
    settings = {"PORT": "1"} if forked else {"PORT": "1", "PYTHONHASHSEED": "0"}
    program = PROGRAM.format(end=f"sys.stdout.flush(); {end}" if end else "")
    process = launch([sys.executable, "-c", program, "one", "two"], cwd=tmp_path, **settings)
    assert isinstance(process.process, Forked) == forked
    assert await process.exit_code() == code
    environment, folder, arguments, path, name, leads = json.loads(process.stdout)
    assert environment["PORT"] == "1"
    assert not {"PYTEST_CURRENT_TEST", "DATABASE_URL"} & set(environment)
    assert (folder, arguments, name, leads) == (str(tmp_path), ["-c", "one", "two"], "__main__", True)
    assert path in {"", str(tmp_path)}
    assert process.stderr.startswith("not a line of the log\n")


ENDING = """
import atexit, service, sys, threading

async def unawaited():
    pass

def speak():
    threading.main_thread().join()
    print("a thread")

atexit.register(print, "an exit handler")
threading.Thread(target=speak).start()
left = unawaited()
sys.exit(3)
"""


@pytest.mark.parametrize("forked", [True, False])
async def test_a_started_process_waits_for_threads_calls_exit_handlers_and_reports_what_is_left(launch, forked):
    process = launch([sys.executable, "-c", ENDING], **({} if forked else {"PYTHONHASHSEED": "0"}))
    assert isinstance(process.process, Forked) == forked
    assert (await process.exit_code(), process.stdout) == (3, "a thread\nan exit handler\n")
    assert "RuntimeWarning: coroutine 'unawaited' was never awaited" in process.stderr


async def test_signals_reach_a_started_process_and_end_it(launch):
    process = launch([sys.executable, "-c", "import service, time; print('ready', flush=True); time.sleep(60)"])
    await process.says("ready")
    assert process.process.poll() is None
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == -signal.SIGTERM
    process.signal(signal.SIGTERM)  # it has ended: nothing happens
    with pytest.raises(ProcessLookupError):
        os.kill(process.process.pid, 0)


@pytest.mark.parametrize(
    ("command", "code", "stdout", "stderr"),
    [
        ("-m service --version", 0, f"doable {__version__}\n", ""),
        ("-m service token --user ada", 1, "", "doable: BETTER_AUTH_SECRET "),
        ("-c 'import sys; print(sys.argv[1]); sys.exit(3)' one", 3, "one\n", ""),
    ],
)
def test_a_shell_gets_the_output_and_the_exit_code_of_the_written_python(  # noqa: PLR0913, PLR0917 - each is a case
    starter, tmp_path, command, code, stdout, stderr
):
    starter.write_python(tmp_path / "python")
    ended = subprocess.run(
        ["bash", "-c", f"./python {command}"], cwd=tmp_path, env={"PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr[: len(stderr)]) == (code, stdout, stderr)
    assert bool(ended.stderr) == bool(stderr)


@pytest.mark.parametrize(
    ("command", "variables", "arguments"),
    [
        (["python", "-m", "service", "run"], {}, ["-m", "service", "run"]),
        ([sys.executable, "-W", "error", "-c", "import service"], {}, ["-W", "error", "-c", "import service"]),
        (["python", "-m", "service", "run"], {"PYTHONIOENCODING": "ascii"}, None),
        (["python", "-m", "service", "run"], {"LC_ALL": "C"}, None),
        (["python", "-m", "pytest"], {}, None),
        (["bash", "-c", "python -m service run"], {}, None),
        (["/usr/bin/python", "-m", "service", "run"], {}, None),
    ],
)
def test_only_commands_of_the_service_are_forked(command, variables, arguments):
    assert forkable(command, variables) == arguments


async def test_a_folder_with_a_service_of_its_own_runs_that_one(launch, tmp_path):
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__init__.py").touch()
    (tmp_path / "service" / "__main__.py").write_text("print('another release')")
    process = launch([sys.executable, "-m", "service"], cwd=tmp_path)
    assert (await process.exit_code(), process.stdout) == (0, "another release\n")
