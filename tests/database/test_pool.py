"""The pool: fair, bounded in time, and complete again after every failure of a request or the database."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from service.config import Settings
from service.database import credentials, handover
from service.database.client import FairClient
from service.database.transactions import MissingRowError
from service.errors import TaskNotFoundError, UnavailableError
from service.sync.changes import ITEMS, changes_since, positions_of_several_users
from service.tasks.models import Task
from service.telemetry import figures
from service.users.models import User
from service.users.queryset import START
from tests.locks import ADVISORY

SIZE = 2
# The response of a proxy whose database does not wake up: an ErrorResponse with SQLSTATE XX000.
ASLEEP = b"E" + struct.pack("!i", 4 + 26) + b"SFATAL\0VFATAL\0CXX000\0Mno\0\0"


@pytest.fixture
async def opened(settings) -> AsyncIterator[Callable[..., FairClient]]:
    """`opened(db_acquire_timeout="0.1")` returns a client of the test with two connections."""
    clients = []

    def make(url: str = "", **variables: str) -> FairClient:
        environment = {"DATABASE_URL": url or settings.database_url, "DB_CONNECTIONS": str(2 * SIZE)}
        environment |= {name.upper(): value for name, value in variables.items()}
        found = Settings.from_environ(environment)
        clients.append(FairClient(connection_name="default", **credentials(found, found.require_database())))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


async def is_whole(client: FairClient) -> set[int]:
    """Check that the client has all its turns and connections at the same time; return the ids of the backends."""
    async with asyncio.timeout(30):
        while client.handover and client.handover.lent:  # asyncpg may still reset a connection after a failure
            await asyncio.sleep(0.01)
        rows = await asyncio.gather(
            *(client.call("SELECT pg_backend_pid() AS pid, pg_sleep(0.05)") for _ in range(SIZE))
        )
    backends = {row["pid"] for row in rows}
    assert len(backends) == SIZE
    assert (client.handover.lent, client.handover.waiting) == (0, 0)
    assert client.handover._queue.held == {}, "or the share of some user is used up for good"
    return backends


async def fails(client: FairClient, statement: str = "SELECT 1", *, read: bool = False) -> str:
    """Run a statement that must fail, and return the kind of the failure."""
    with pytest.raises(UnavailableError) as raised:
        async with asyncio.timeout(20):  # less than the longest statement
            await (client.fetch_one if read else client.call)(statement)
    return raised.value.kind


async def test_connections_are_handed_out_in_the_order_of_asking(opened):
    client = opened()
    await is_whole(client)
    served: list[int] = []
    asked = 10

    async def ask(number: int, then: int) -> None:
        nonlocal asked
        async with client.acquire_connection() as connection:
            served.append(number)
            await connection.fetchval("SELECT 1")
        if then:  # a request that was just served asks again at once, and must not overtake waiters
            asked += 1
            await ask(asked - 1, then - 1)

    async with asyncio.timeout(30):
        await asyncio.gather(*(ask(number, 3) for number in range(10)))
    assert served == sorted(served)
    assert len(served) == 40


@pytest.mark.one_database(reason="locks")
async def test_one_user_holds_half_of_the_pool_at_most_and_another_gets_a_connection_at_once(
    opened, connection, eventually
):
    client = opened(db_acquire_timeout="20")
    lock = "SELECT $1::text, pg_advisory_xact_lock_shared(1)"
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(1)")
        slow = [asyncio.create_task(client.call(lock, "alice")) for _ in range(5)]
        await eventually(lambda: connection.fetchval(ADVISORY + " AND NOT granted"))
        assert (client.handover.lent, client.handover.waiting) == (SIZE // 2, 4)
        await client.call("SELECT $1::text", "bob")
        assert not any(call.done() for call in slow), "or bob did not overtake them"
    await asyncio.gather(*slow)
    await is_whole(client)


async def test_users_take_turns_so_one_that_has_many_requests_waiting_delays_another_by_about_one(opened):
    client = opened()
    served: list[str] = []

    async def ask(user: str) -> None:
        async with client.acquire_connection(user) as connection:
            served.append(user)
            await connection.fetchval("SELECT 1")

    async with client.acquire_connection(), client.acquire_connection():
        waiting = [asyncio.create_task(ask("mallory")) for _ in range(50)]
        await asyncio.sleep(0)
        waiting += [asyncio.create_task(ask(user)) for user in ("alice", "bob", "alice")]
        await asyncio.sleep(0)
        assert client.handover.waiting == 53
    await asyncio.gather(*waiting)
    assert len(served) == 53
    assert served.index("alice") <= 2
    assert served.index("bob") <= 4
    await is_whole(client)


async def test_failures_cancellations_and_timeouts_free_the_users_share(opened):
    client = opened(db_statement_timeout="0.5", db_acquire_timeout="20")
    for _ in range(2):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await client.call("SELECT $1::text, 1 / 0", "alice")
        with pytest.raises(UnavailableError):
            await client.call("SELECT $1::text, pg_sleep(30)", "alice")
        tasks = [asyncio.create_task(client.call("SELECT $1::text, pg_sleep(30)", "alice")) for _ in range(4)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (await client.call("SELECT $1::text AS who", "alice"))["who"] == "alice"
    await is_whole(client)


async def test_the_wait_for_a_connection_has_a_timeout(opened):
    client = opened(db_acquire_timeout="0.1")
    async with client.acquire_connection(), client.acquire_connection():
        before, failed = figures.acquires.copy(), figures.database_errors.get("pool", 0)
        assert [await fails(client) for _ in range(3)] == ["pool"] * 3
        assert await asyncio.gather(*(fails(client) for _ in range(10))) == ["pool"] * 10
        assert figures.database_errors["pool"] - failed == 13
        assert sum(figures.acquires[:-1]) - sum(before[:-1]) == 13, "each wait is measured"
        assert figures.acquires[-1] - before[-1] >= 13 * 0.1
    await is_whole(client)


async def test_a_waiter_that_times_out_loses_no_turn(opened):
    client = opened()
    async with client.acquire_connection(), client.acquire_connection():
        waiting = [asyncio.create_task(client.call("SELECT 1")) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(answer) for answer in answers} == {asyncio.CancelledError}
    await is_whole(client)


async def test_a_waiter_that_times_out_at_its_turn_passes_the_turn_on(opened):
    client = opened()
    leases = [client.acquire_connection() for _ in range(SIZE)]
    for lease in leases:
        await lease.__aenter__()
    first, second = (asyncio.create_task(client.call("SELECT 1 AS one")) for _ in range(2))
    await asyncio.sleep(0)
    await leases[0].__aexit__(None, None, None)  # the first one's turn has come, though it has not run yet
    first.cancel()
    async with asyncio.timeout(20):
        assert (await second)["one"] == 1
    await leases[1].__aexit__(None, None, None)
    await is_whole(client)


async def test_hundreds_of_cancelled_requests_lose_neither_a_turn_nor_a_connection(opened, connection):
    client = opened(db_acquire_timeout="20")
    chance = random.Random(20261121)
    outcomes = []

    async def request(number: int) -> None:
        user = chance.choice(["alice", "bob", "carol"])
        task = asyncio.create_task(client.call("SELECT $1::text, pg_sleep($2::float)", user, chance.random() / 200))
        await asyncio.sleep(chance.random() / 100)
        if number % 4:  # the others are awaited
            task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        outcomes.append(type(outcome))

    for _ in range(15):
        await asyncio.gather(*map(request, range(16)))
    assert outcomes.count(asyncio.CancelledError) > 60, "or nothing was tried"
    assert outcomes.count(asyncpg.Record) >= 60, "all that were not cancelled"
    assert set(outcomes) == {asyncio.CancelledError, asyncpg.Record}
    await is_whole(client)


async def test_the_server_cancels_a_statement_that_takes_too_long(opened, connection):
    client = opened(db_statement_timeout="0.5")
    assert await fails(client, "SELECT pg_sleep(30) /* ours */") == "timeout"
    running = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(30) /* ours */'"
    )
    assert await connection.fetchval(running) == 0
    await is_whole(client)


async def test_behind_a_pooler_the_service_cancels_a_statement_that_takes_too_long(opened):
    client = opened(db_statement_timeout="0.5", db_pgbouncer="1")
    assert await fails(client, "SELECT pg_sleep(30)") == "timeout"
    await is_whole(client)


async def test_a_killed_backend_costs_the_one_request_that_it_served(opened, connection, eventually):
    client = opened()
    pid = (await client.call("SELECT pg_backend_pid() AS pid"))["pid"]
    request = asyncio.create_task(client.call("SELECT pg_sleep(30)"))
    serving = "SELECT state = 'active' AND query LIKE '%sleep(30)' FROM pg_stat_activity WHERE pid = $1"
    await eventually(lambda: connection.fetchval(serving, pid))
    await connection.execute("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises(UnavailableError) as raised:
        await request
    assert raised.value.kind in {"shutdown", "connection"}, "whichever of the two asyncpg sees first"
    assert (await client.call("SELECT 1 AS one"))["one"] == 1
    await is_whole(client)


async def test_backends_killed_while_idle_are_replaced(opened, connection, eventually):
    client = opened()
    killed = await is_whole(client)
    await connection.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", list(killed))
    await eventually(lambda: client._pool.get_size() == 0)
    assert killed.isdisjoint(await is_whole(client))


async def test_returning_a_connection_sends_no_statement(app, opened, statements, eventually):
    client = opened()
    with statements() as seen:
        for _ in range(3):
            await client.call("SELECT 1 AS once")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await client.call("SELECT 1 / 0")
        await eventually(lambda: client.handover.lent == 0)
    assert [statement for statement, _ in seen] == ["SELECT 1 AS once"] * 3 + ["SELECT 1 / 0"]


async def test_a_statement_without_its_required_row_raises_our_own_error(opened):
    client = opened()
    none, three = "SELECT 1 AS number WHERE false", "SELECT generate_series(1, 3) AS number"
    async with client.transaction() as session:
        for connection in (client, session):
            for method in (connection.call, connection.fetch_one):
                assert (await method(three))["number"] == 1
                with pytest.raises(MissingRowError):
                    await method(none)
            assert (await connection.fetch_first(three))["number"] == 1
            assert await connection.fetch_first(none) is None
            assert [row["number"] for row in await connection.fetch_rows(three)] == [1, 2, 3]
            assert await connection.fetch_rows(none) == []
    await is_whole(client)


async def test_an_unavailable_database_costs_no_turn_and_is_used_again_when_it_returns(opened, relay):
    client = opened(relay.url)
    assert [await fails(client) for _ in range(3 * SIZE)] == ["connection"] * 3 * SIZE
    assert await asyncio.gather(*(fails(client) for _ in range(3 * SIZE))) == ["connection"] * 3 * SIZE
    await relay.open()
    await is_whole(client)
    await relay.close()
    assert await fails(client) == "connection"
    await relay.open()
    await is_whole(client)


async def test_a_hanging_database_times_out_and_is_used_again_when_it_recovers(opened, relay):
    await relay.open()
    client = opened(relay.url, db_pgbouncer="1", db_statement_timeout="1", db_connect_timeout="1")
    await is_whole(client)
    relay.flowing.clear()
    assert await asyncio.gather(*(fails(client) for _ in range(SIZE))) == ["timeout"] * SIZE
    relay.flowing.set()
    await is_whole(client)


async def test_a_read_on_a_lost_connection_is_retried_on_another_and_a_write_is_not(opened, relay):
    await relay.open()
    client = opened(relay.url)
    before = figures.database_retries
    for _ in range(3):
        await is_whole(client)
        relay.cut()  # the loss is not detected yet: the statement is sent and its response never comes
        assert (await client.fetch_one("SELECT 1 AS one"))["one"] == 1
    assert figures.database_retries - before == 3
    await is_whole(client)
    relay.cut()
    assert await fails(client, "CREATE TEMPORARY TABLE ours ()") == "connection"
    assert figures.database_retries - before == 3, "it may have been done"
    await is_whole(client)


READS = {
    "a task": lambda pool: Task.objects.for_user("alice", using=pool).find(1),
    "a list": lambda pool: Task.objects.for_user("alice", using=pool).live().page(),
    "the state": lambda pool: User.objects.for_user("alice", using=pool).state(),
    "the changes": lambda pool: changes_since(Task.objects.for_user("alice", using=pool), START, 10, ITEMS),
    "the position": lambda pool: User.objects.for_user("alice", using=pool).position(),
    "several positions": lambda pool: positions_of_several_users(pool, ["alice"]),
    "the trash": lambda pool: Task.objects.for_user("alice", using=pool).trashed().page(),
}


async def test_every_read_only_statement_is_retried_once(server, opened, relay, subtests):
    await relay.open()
    client = opened(relay.url)
    for what, read in READS.items():
        with subtests.test(what):
            await is_whole(client)
            before = figures.database_retries
            relay.cut()
            with contextlib.suppress(TaskNotFoundError):
                await read(client)
            assert figures.database_retries - before == 1
    await is_whole(client)


async def test_a_write_uses_a_new_connection_if_the_old_one_is_known_to_be_lost(opened, relay, eventually):
    await relay.open()
    client = opened(relay.url)
    backends = await is_whole(client)
    relay.cut()
    await eventually(lambda: client._pool.get_size() == 0)
    assert (await client.call("SELECT pg_backend_pid() AS pid"))["pid"] not in backends
    await is_whole(client)


async def test_a_read_whose_backend_is_killed_is_retried_on_another(opened, connection, eventually):
    client = opened()
    pid = (await client.call("SELECT pg_backend_pid() AS pid"))["pid"]
    slow = "SELECT pg_backend_pid() AS pid, pg_sleep(CASE pg_backend_pid() WHEN $1 THEN 30 ELSE 0 END)"
    request = asyncio.create_task(client.fetch_one(slow, pid))
    serving = "SELECT state = 'active' AND query LIKE '%sleep(CASE%' FROM pg_stat_activity WHERE pid = $1"
    await eventually(lambda: connection.fetchval(serving, pid))
    await connection.execute("SELECT pg_terminate_backend($1)", pid)
    assert (await request)["pid"] != pid
    await is_whole(client)


async def test_a_connection_that_is_lost_during_its_handover_is_replaced(opened):
    client = opened()
    leases = [client.acquire_connection() for _ in range(SIZE)]
    connections = [await lease.__aenter__() for lease in leases]
    request = asyncio.create_task(client.call("SELECT 1 AS one"))
    await asyncio.sleep(0)
    await leases[0].__aexit__(None, None, None)  # the request's turn has come, though it has not run yet
    connections[0].terminate()
    async with asyncio.timeout(20):
        assert (await request)["one"] == 1
    await leases[1].__aexit__(None, None, None)
    await is_whole(client)


@pytest.mark.parametrize("read", [True, False], ids=["read", "write"])
async def test_a_connection_waits_for_a_database_that_wakes_slowly(opened, relay, read):
    """Only the limit for opening a connection applies: it is longer than the others, and 10 seconds by default."""
    relay.flowing.clear()
    await relay.open()
    client = opened(relay.url, db_acquire_timeout="1", db_statement_timeout="1", db_connect_timeout="20")
    request = asyncio.create_task((client.fetch_one if read else client.call)("SELECT 1 AS one"))
    await asyncio.sleep(1.5)  # longer than both, which a busy machine needs for the statement itself
    assert not request.done()
    relay.flowing.set()
    async with asyncio.timeout(20):
        assert (await request)["one"] == 1
    client = opened(relay.url)
    await is_whole(client)


@pytest.mark.parametrize("turned_away", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("answer", [b"", ASLEEP], ids=["a hang-up", "an internal error"])
async def test_opening_a_connection_is_tried_twice_at_most(opened, relay, unused_port, turned_away, answer):
    """No byte has been sent, so even a write may be retried."""
    await relay.open()
    asked = 0

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked > turned_away:
            await relay.pass_on(reader, writer)
            return
        if answer:
            await reader.read(8)  # the SSLRequest
            writer.write(b"N")
            await reader.read(1000)
            writer.write(answer)
        writer.close()

    port = unused_port()
    async with await asyncio.start_server(turn_away, "127.0.0.1", port):
        client = opened(relay.url.replace(str(relay.port), str(port)))
        if turned_away == 1:
            assert (await client.call("SELECT 1 AS one"))["one"] == 1
        else:
            assert await fails(client) == "connection"
        assert asked == 2
        await is_whole(client)
        await client.close()


async def test_the_retries_of_a_read_from_an_unavailable_database_end(opened, relay):
    client = opened(relay.url)
    assert [await fails(client, read=True) for _ in range(3 * SIZE)] == ["connection"] * 3 * SIZE
    await relay.open()
    await is_whole(client)


async def test_a_pool_is_not_opened_twice_by_requests_that_come_at_once(opened):
    client = opened()
    assert client._pool is None
    pools = await asyncio.gather(*(client.open() for _ in range(5)))
    assert len(set(map(id, pools))) == 1
    assert client._pool.get_size() == 0, "a connection is made when somebody asks for one"


async def test_an_idle_connection_is_closed_so_that_a_serverless_database_can_sleep(opened, monkeypatch, eventually):
    monkeypatch.setattr(handover, "KEPT", 1.0)
    client = opened()
    backends = await is_whole(client)
    assert await is_whole(client) == backends, "while it is needed it is kept"
    await eventually(lambda: client._pool.get_size() == 0)
    assert (await is_whole(client)).isdisjoint(backends)


async def test_closing_waits_for_nothing_and_leaves_no_connection(opened, connection, eventually):
    client = opened()
    backends = await is_whole(client)
    request = asyncio.create_task(client.call("SELECT pg_sleep(30)"))
    await asyncio.sleep(0)
    request.cancel()
    async with asyncio.timeout(20):  # less than the statement
        await client.close()
    none_left = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = ANY ($1::int[]) AND state = 'active'"
    await eventually(lambda: connection.fetchval(none_left, list(backends)), 20)
    assert client._pool is None


async def test_transactions_of_the_orm_get_connections_in_turn(opened):
    client = opened(db_acquire_timeout="0.2")
    await is_whole(client)  # the handover occupies every connection that asyncpg may open
    async with client._in_transaction() as one, client._in_transaction() as another:
        assert [await inside.execute_query_dict("SELECT 1 AS one") for inside in (one, another)] == [[{"one": 1}]] * 2
        assert await fails(client) == "pool"
    await is_whole(client)


async def test_an_error_rolls_back_a_transaction_of_the_orm(opened):
    client = opened()

    async def begin_and_fail() -> None:
        async with client._in_transaction() as inside:
            await inside.execute_script("CREATE TABLE undone (id int)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await begin_and_fail()
    assert (await client.call("SELECT to_regclass('undone') AS there"))["there"] is None
    await is_whole(client)


async def test_a_transaction_that_is_cancelled_as_it_begins_loses_no_connection(opened, relay):
    await relay.open()
    client = opened(relay.url)
    await is_whole(client)
    relay.flowing.clear()
    for _ in range(SIZE + 1):
        with pytest.raises((TimeoutError, UnavailableError)):
            async with asyncio.timeout(0.05), client._in_transaction():
                pytest.fail("it cannot have begun")
    relay.flowing.set()
    assert await is_whole(client)
