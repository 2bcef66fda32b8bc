"""Install the npm packages of an example or a test once for all test processes, even after an interruption."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

NODE, NPM = shutil.which("node"), shutil.which("npm")
SECONDS = 600  # for one installation, on a busy machine


def install(folder: Path) -> None:
    """Install what `folder`'s package-lock.json names, unless that is done already.

    `npm ci` deletes `node_modules` and unpacks it anew, so a second process must neither start another installation
    nor use a half-unpacked one. Processes wait for each other at a lock, and the last step writes a marker that names
    the lock file that was installed: an interrupted or outdated installation has none, and is repeated.

    Raises AssertionError with npm's own output if npm fails.
    """
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    marker = folder / "node_modules" / ".installed"
    with (folder / ".npm-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, or when the process dies
        if marker.is_file() and marker.read_text() == digest:
            return
        command = [NPM, "ci", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, timeout=SECONDS, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(map(str, command))} in {folder.name}:\n{done.stdout}{done.stderr}"
        marker.write_text(digest)
