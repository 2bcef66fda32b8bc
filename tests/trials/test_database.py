"""Faults of the database: restarts, crashes, hangs, locks, no free connections, a late start, read-only, a pooler."""

from __future__ import annotations

import asyncio
import copy
import os
import re
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from service.database import migrations
from tests.trials.cluster import unused_port
from tests.trials.followers import Reader, Stream
from tests.trials.load import Line
from tests.trials.stage import compare

ROOT = Path(__file__).parents[2]
RESTORE = ROOT / "docs" / "how-to" / "back-up-and-restore.md"
trial = pytest.mark.trial
KILL = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'doable'"
NEXT = """
from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True


async def upgrade(db: BaseDBAsyncClient) -> str:
    return "ALTER TABLE tasks ADD COLUMN trial text; ALTER TABLE users ADD COLUMN trial text;"


async def downgrade(db: BaseDBAsyncClient) -> str:
    return "ALTER TABLE tasks DROP COLUMN trial; ALTER TABLE users DROP COLUMN trial;"


MODELS_STATE = {state!r}
"""


@trial
@pytest.mark.parametrize("workers", [1, 2])
async def test_the_database_is_restarted_gently(stage, cluster, workers):
    trial = stage(workers=workers)
    await trial.raise_curtain(2)
    await cluster.stop("fast")
    await cluster.start()
    trial.over()
    await asyncio.sleep(1)
    await trial.reckon(f"database restarted gently, {workers} workers")


@trial
async def test_the_database_crashes(stage, cluster):
    trial = stage()
    await trial.raise_curtain(2)
    for _ in range(3):
        await cluster.stop("immediate")
        await asyncio.sleep(1)
        await cluster.start()
        trial.over()
        await asyncio.sleep(3)
    trial.notes.append("3 crashes")
    await trial.reckon("database restarted with immediate")


@trial
async def test_backends_are_killed_again_and_again(stage, cluster):
    trial = stage()
    await trial.raise_curtain(1)
    async with cluster.admin() as admin:
        killed = 0
        for _ in range(40):
            killed += await admin.fetchval(KILL)
            await asyncio.sleep(0.1)
    trial.over()
    assert killed > 10
    trial.notes.append(f"{killed} backends killed")
    await trial.reckon("backends killed")


@trial
async def test_the_database_hangs(stage, cluster):
    trial = stage()
    await trial.raise_curtain()
    stopped = cluster.hang()
    try:
        await asyncio.sleep(6)
    finally:
        cluster.resume(stopped)
    trial.over()
    await trial.reckon("database hung for 6 s")


@trial
async def test_every_table_is_locked(stage, cluster):
    trial = stage()
    await trial.raise_curtain()
    async with cluster.admin() as admin, admin.transaction():
        await admin.execute("LOCK TABLE users, tasks, aerich IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(6)
    trial.over()
    await trial.reckon("every table locked for 6 s")


@trial
async def test_the_connections_are_used_up(stage, cluster):
    trial = stage()
    await trial.raise_curtain()
    async with cluster.admin() as admin:
        await admin.execute("ALTER ROLE doable CONNECTION LIMIT 2")
        for _ in range(6):
            await admin.fetchval(KILL)
            await asyncio.sleep(0.5)
        await admin.execute("ALTER ROLE doable CONNECTION LIMIT -1")
    trial.over()
    assert trial.load.statuses[503] > 20
    await trial.reckon("connections used up for 3 s")


@trial
async def test_the_server_has_fewer_connections_than_the_pools_want(stage, cluster):
    async with cluster.admin() as admin:
        await admin.execute("ALTER SYSTEM SET max_connections = 16")
    await cluster.stop("fast")
    await cluster.start()
    async with AsyncExitStack() as others:
        for _ in range(11):  # and 3 more are reserved for superusers: 2 are left for our 10
            await others.enter_async_context(cluster.admin())
        trial = stage(workers=2, pause=0.005)
        await trial.raise_curtain(3)
        held = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'doable'"
        async with cluster.admin() as admin:
            trial.notes.append(f"{await admin.fetchval(held)} connections then, 10 afterwards")
    trial.over()
    assert trial.load.statuses[503] > 20
    assert trial.load.acknowledged > 50, "those who had one went on"
    await asyncio.sleep(1)
    await trial.reckon("connections fewer than the pools want")


@trial
async def test_the_database_comes_after_the_service(stage, cluster):
    await cluster.stop("fast")
    trial = stage()
    await trial.raise_curtain(3)
    assert set(trial.load.statuses) == {503}
    await cluster.start()
    trial.over()
    await asyncio.sleep(2)
    await trial.reckon("database away at start, for 3 s")


@trial
async def test_the_database_is_read_only_for_a_while(stage, cluster):
    trial = stage()
    await trial.raise_curtain()
    async with cluster.admin() as admin:
        await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await admin.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(3)
        await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await admin.execute("SELECT pg_reload_conf()")
    trial.over()
    assert trial.load.statuses[503] > 20
    await asyncio.sleep(1)
    await trial.reckon("database read-only for 3 s")


@trial
async def test_a_dump_under_load_is_restored(stage, cluster, tmp_path, sign):
    """Back up and restore with the commands and the SQL of docs/how-to/back-up-and-restore.md."""
    if not (cluster.programs / "pg_dump").exists():
        pytest.skip("THERE IS NO pg_dump beside the server, so no dump was tried")
    trial = stage()
    await trial.raise_curtain(5)
    promised = copy.deepcopy(trial.load.promised)
    dump, began = str(tmp_path / "doable.dump"), time.monotonic()
    await cluster.client("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={dump}", cluster.url)
    seconds = time.monotonic() - began
    trial.load.doubt(promised)
    titles = set(trial.load.titles)
    trial.over()
    await asyncio.sleep(2)

    url = cluster.url.removesuffix("/doable") + "/restored"
    async with cluster.admin() as admin:
        await admin.execute("CREATE DATABASE restored OWNER doable")
    await cluster.client("pg_restore", "--no-owner", "--no-privileges", "--single-transaction", f"--dbname={url}", dump)
    restored = await asyncpg.connect(url, timeout=10)
    lost, doubled, faults = await compare(restored, promised)
    assert (lost, doubled, faults) == ([], [], [])
    there = {row["title"] for row in await restored.fetch("SELECT title FROM tasks")}
    assert there <= titles, "nothing is there that was not sent before the dump's end"
    assert len(promised.promises) <= len(there) < len(trial.load.promises), "or nothing was written beside it"
    (ahead,) = re.findall(r"```sql\n(.*?)```", RESTORE.read_text(), re.DOTALL)
    await restored.execute(textwrap.dedent(ahead))
    live = await restored.fetchval("SELECT count(*) FROM tasks WHERE user_id = 'user-0' AND deleted_at IS NULL")
    await restored.close()

    trial.notes.append(f"{len(promised.promises)} tasks before the dump, {len(there)} in it, taken in {seconds:.1f} s")
    await trial.reckon("dumped under load, and restored")
    newest = [promise for promise in trial.load.promises.values() if promise.user == "user-0"]
    second = stage(url=url)
    await second.serve()
    await second.lives()
    line = Line(second.port, sign("user-0"))
    assert len((await line.ask("GET", "/api/user-0/tasks")).json) == live
    made = (await line.ask("POST", "/api/user-0/tasks", {"title": "after the restoration"})).json
    assert made["id"] > max(promise.id for promise in newest), "no id is given twice"
    assert made["version"] > max(promise.version for promise in newest), "and no revision"
    assert len((await line.ask("GET", "/api/user-0/tasks")).json) == live + 1
    line.close()


@pytest.fixture
def next_release(tmp_path) -> Path:
    """Return a copy of the project with one more migration."""
    folder = tmp_path / "next"
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("service", "aerich"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    newest = folder / "aerich" / "service" / migrations.newest()
    scope: dict = {}
    exec(compile(newest.read_text(), newest.name, "exec"), scope)
    number = int(newest.name.split("_")[0]) + 1
    added = folder / "aerich" / "service" / f"{number}_20991231000000_trial.py"
    added.write_text(NEXT.format(state=scope["MODELS_STATE"]))
    return folder


@trial
async def test_two_releases_migrate_at_once_under_load(stage, cluster, launch, next_release):
    trial = stage()
    await trial.raise_curtain()
    command = [sys.executable, "-m", "service", "migrate"]
    began = time.monotonic()
    releases = [launch(command, cwd=next_release, DATABASE_URL=cluster.url) for _ in range(2)]
    assert [await one.exit_code(30) for one in releases] == [0, 0], [one.stderr for one in releases]
    seconds = time.monotonic() - began
    trial.over()
    async with cluster.admin() as admin:
        added = await admin.fetch("SELECT FROM aerich WHERE version LIKE '%_trial.py'")
    assert len(added) == 1, "one of the two applied it, once"
    await asyncio.sleep(1)
    trial.notes.append(f"both done after {seconds:.1f} s")
    await trial.reckon("two releases migrating at once")


@pytest.fixture
def folder_for_anyone() -> Iterator[Path]:
    """A folder that PgBouncer's user may enter, because PgBouncer refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="doable-pgbouncer-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def pooler(cluster, launch, folder_for_anyone, eventually) -> Callable[[], Awaitable[object]]:
    """`await pooler()` starts PgBouncer in transaction mode; its process has a `url`, the same each time."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("PgBouncer IS NOT INSTALLED, so nothing was tried behind a pooler: apt-get install pgbouncer")
    port = unused_port()
    (folder_for_anyone / "pgbouncer.ini").write_text(f"""
[databases]
doable = host=127.0.0.1 port={cluster.port} user=doable
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
""")

    async def start():
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        process = launch([program, *user, str(folder_for_anyone / "pgbouncer.ini")])
        await eventually(lambda: f"listening on 127.0.0.1:{port}" in process.stderr)
        process.url = f"postgres://doable@127.0.0.1:{port}/doable?pgbouncer=true"
        return process

    return start


@trial
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["terminated", "killed"])
async def test_the_pooler_is_restarted(stage, cluster, pooler, how):
    running = await pooler()
    trial = stage(url=running.url, pooler=True)
    await trial.raise_curtain()
    trial.follow(Stream, 2)
    trial.follow(Reader, 1, limit=20, pause=0.02)
    for _ in range(3):
        running.signal(how)
        await asyncio.sleep(1)
        running.kill()
        running = await pooler()
        trial.over()
        await asyncio.sleep(1)
    await trial.reckon(f"PgBouncer restarted ({how.name}) 3 times")
    async with cluster.admin() as admin:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'doable' AND state LIKE 'idle in%'"
        assert not await admin.fetchval(idle)
