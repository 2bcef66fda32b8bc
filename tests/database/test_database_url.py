"""DATABASE_URL: the forms of hosting providers, the effect of each parameter, and refusals that show no secret."""

from __future__ import annotations

import inspect
import logging
import re
import ssl
import sys
from urllib.parse import quote

import asyncpg
import pytest
from asyncpg import connect_utils

from service.config import Settings
from service.database import POOLED_OPTIONS, credentials, handover
from service.database.client import FairClient
from service.database.url import parse
from service.errors import ConfigurationError

PLAIN = {
    "host": "localhost",
    "port": 5432,
    "user": "ada",
    "password": "word",
    "database": "tasks",
    "pgbouncer": False,
    "server_settings": {"application_name": "doable"},
}
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBkTCB+wIJAKHHIgdyuNW2MA0GCSqGSIb3DQEBCwUAMA0xCzAJBgNVBAYTAlVT
-----END CERTIFICATE-----
"""


def pool(url: str, **variables: str) -> dict:
    """Return the arguments with which the pool is opened."""
    found = Settings.from_environ({"DATABASE_URL": url, **{name.upper(): value for name, value in variables.items()}})
    return credentials(found, found.require_database())


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "asyncpg", "postgresql+asyncpg", "POSTGRES"])
def test_every_common_url_scheme_leads_to_the_same_database(scheme):
    assert parse(f"{scheme}://ada:word@localhost:5432/tasks") == PLAIN


def read_by_asyncpg(url: str) -> dict:
    """Parse a URL with asyncpg's own parser, which is not public."""
    names = inspect.signature(connect_utils._parse_connect_dsn_and_args).parameters
    addresses, found = connect_utils._parse_connect_dsn_and_args(**dict.fromkeys(names) | {"dsn": url})
    host, port = addresses[0]
    return {
        "host": host,
        "port": port,
        "password": found.password,
        "database": found.database,
        "server_settings": found.server_settings,
    }


@pytest.mark.parametrize(
    ("url", "name", "theirs", "ours"),
    [
        ("postgres://ada:w@rd@localhost/tasks", "host", "rd@localhost", "localhost"),
        ("postgres://ada:w@rd@localhost/tasks", "password", "w", "w@rd"),
        ("postgres://ada:word@:5433/tasks", "host", "", "localhost"),
        ("postgres:///?host=db&user=ada&dbname=tasks", "database", "", "tasks"),
        ("postgres://ada@db/t?connect_timeout=7", "server_settings", {"connect_timeout": "7"}, None),
        ("postgres://ada@db/t?channel_binding=require", "server_settings", {"channel_binding": "require"}, None),
        ("postgres://ada@db/t?pgbouncer=true", "server_settings", {"pgbouncer": "true"}, None),
        ("postgres://ada@db/t?schema=public", "server_settings", {"schema": "public"}, None),
        ("postgres://ada:1?word=1@localhost/tasks", "host", "ada", ConfigurationError),
        ("postgres://ada@db:0/t", "port", 0, ConfigurationError),
        ("postgres://ada@db:65536/t", "port", 65536, ConfigurationError),
        ("postgres://ada@db:5_432/t", "port", 5432, ConfigurationError),
        ("postgres://ada@db/t?nonsense=x", "server_settings", {"nonsense": "x"}, ConfigurationError),
    ],
)
def test_a_url_that_asyncpg_misreads_is_read_correctly_or_refused(url, name, theirs, ours):
    assert read_by_asyncpg(url)[name] == theirs
    if ours is ConfigurationError:
        with pytest.raises(ConfigurationError):
            parse(url)
    elif name == "server_settings":
        assert parse(url)[name] == {"application_name": "doable"}
    else:
        assert parse(url)[name] == ours


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://ada@db/t",
        "asyncpg://ada@db/t",
        "postgres://ada@db/t?sslmode=no-verify",
        "postgres://ada@db/t?sslmode=verify-full",
        "postgres://ada@db/t?sslmode=verify-full&sslrootcert=system",
    ],
)
def test_a_url_that_asyncpg_refuses_is_read(url, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # there is no ~/.postgresql/root.crt
    with pytest.raises((asyncpg.ClientConfigurationError, OSError)):
        read_by_asyncpg(url)
    assert parse(url)["host"] == "db"


def test_a_url_of_heroku_is_read():
    found = parse("postgres://uabc123:p0f4@ec2-12-34-56-78.compute-1.amazonaws.com:5433/d8k2n4l6")
    assert found == {
        **PLAIN,
        "host": "ec2-12-34-56-78.compute-1.amazonaws.com",
        "port": 5433,
        "user": "uabc123",
        "password": "p0f4",
        "database": "d8k2n4l6",
    }


def test_a_url_of_neon_is_read(caplog):
    with caplog.at_level(logging.INFO, "doable.database"):
        found = parse(
            "postgresql://neondb_owner:npg_x1@ep-cool-1234.eu-central-1.aws.neon.tech/neondb"
            "?sslmode=require&channel_binding=require"
        )
    assert found == {
        **PLAIN,
        "host": "ep-cool-1234.eu-central-1.aws.neon.tech",
        "user": "neondb_owner",
        "password": "npg_x1",
        "database": "neondb",
        "ssl": "require",
    }
    assert "channel_binding is ignored" in caplog.text
    assert "npg_x1" not in caplog.text


@pytest.mark.parametrize(
    ("mode", "ssl_argument"), [("disable", False), ("allow", "allow"), ("prefer", "prefer"), ("require", "require")]
)
def test_an_sslmode_without_verification_is_passed_to_the_driver(mode, ssl_argument):
    assert parse(f"postgres://localhost/tasks?sslmode={mode}")["ssl"] == ssl_argument


def test_without_an_sslmode_the_driver_decides():
    assert "ssl" not in parse("postgres://localhost/tasks")
    assert "ssl" not in parse("postgres://localhost/tasks?sslmode=")


@pytest.mark.parametrize(("mode", "checks_name"), [("verify-ca", False), ("verify-full", True)])
@pytest.mark.parametrize("root", ["", "&sslrootcert=system"])
def test_an_sslmode_with_verification_requires_a_trusted_certificate(mode, checks_name, root):
    context = parse(f"postgres://localhost/tasks?sslmode={mode}{root}")["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is checks_name


def test_require_with_a_root_certificate_verifies_as_libpq_does():
    context = parse("postgres://localhost/tasks?sslmode=require&sslrootcert=system")["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is False


@pytest.mark.parametrize("parameter", ["sslrootcert", "sslcert"])
def test_a_certificate_file_that_cannot_be_read_is_refused_without_its_path(parameter, tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text(CERTIFICATE)
    for path in (broken, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError) as refused:
            parse(f"postgres://localhost/tasks?sslmode=verify-full&{parameter}={path}")
        assert refused.value.detail == "DATABASE_URL names a certificate file that cannot be read."


@pytest.mark.parametrize("mode", ["on", "true", "REQUIRE", "verify"])
def test_an_unknown_sslmode_is_refused_with_a_list_of_the_known_ones(mode):
    with pytest.raises(
        ConfigurationError, match=r"sslmode must be disable, allow, prefer, require, verify-ca, verify-full or"
    ):
        parse(f"postgres://localhost/tasks?sslmode={mode}")


@pytest.mark.parametrize("name", ["channel_binding", "gssencmode", "keepalives", "keepalives_idle", "keepalives_count"])
def test_a_harmless_unsupported_parameter_is_ignored_and_logged(name, caplog):
    with caplog.at_level(logging.INFO, "doable.database"):
        assert parse(f"postgres://ada:word@localhost/tasks?{name}=disable") == PLAIN
    assert f"DATABASE_URL: {name} is ignored" in caplog.text


PRISMA = "connection_limit=1&pool_timeout=20&socket_timeout=5&max_idle_connection_lifetime=60&max_connection_lifetime=9"


def test_a_url_of_prisma_is_read(caplog):
    with caplog.at_level(logging.INFO, "doable.database"):
        found = parse(f"postgresql://ada:word@localhost:5432/tasks?schema=public&{PRISMA}&statement_cache_size=0")
    assert found == {**PLAIN, "statement_cache_size": 0}
    for name in ("connection_limit", "pool_timeout", "socket_timeout", "max_connection_lifetime"):
        assert f"DATABASE_URL: {name} is ignored" in caplog.text


def test_a_url_of_vercel_for_supabase_is_read():
    found = parse(
        "postgres://postgres.abc:word@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x"
    )
    assert (found["pgbouncer"], found["ssl"], found["user"]) == (True, "require", "postgres.abc")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("schema=app", "schema must be public; for another schema use options=-c%20search_path%3Dname"),
        ("pgbouncer=maybe", "pgbouncer must be true or false"),
        ("statement_cache_size=many", "statement_cache_size must be a number of statements"),
        ("statement_cache_size=-1", "statement_cache_size must be a number of statements"),
        ("target_session_attrs=standby", "target_session_attrs must be any, read-write or primary: the service writes"),
        ("target_session_attrs=read-only", "target_session_attrs must be any, read-write or primary"),
        ("sslaccept=maybe", "sslaccept must be strict or accept_invalid_certs"),
    ],
)
def test_an_unsupported_parameter_is_refused_with_a_list_of_the_supported_ones(query, reason):
    with pytest.raises(ConfigurationError, match=f"^DATABASE_URL: {re.escape(reason)}"):
        parse(f"postgres://ada:pass-word@localhost/tasks?{query}")


@pytest.mark.parametrize("query", ["sslmode=no-verify", "sslmode=require&sslaccept=accept_invalid_certs"])
def test_tls_without_verification_is_logged_with_its_risk(query, caplog):
    with caplog.at_level(logging.INFO, "doable.database"):
        context = parse(f"postgres://ada:word@localhost/tasks?{query}")["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert "without a check of the server's certificate" in caplog.text


@pytest.mark.parametrize("mode", ["", "&sslmode=prefer", "&sslmode=require", "&sslmode=verify-full"])
def test_prismas_strict_acceptance_of_certificates_verifies_them(mode):
    context = parse(f"postgres://ada:word@localhost/tasks?sslaccept=strict{mode}")["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("attributes", ["any", "read-write", "primary"])
async def test_a_url_may_require_a_writable_server(settings, attributes):
    joint = "&" if "?" in settings.database_url else "?"
    url = f"{settings.database_url}{joint}target_session_attrs={attributes}"
    client = FairClient(connection_name="default", **credentials(settings, url))
    try:
        assert (await client.call("SELECT 1 AS one"))["one"] == 1
    finally:
        await client.close()


@pytest.mark.parametrize(("seconds", "timeout"), [("7", 7.0), ("0", 10.0), ("", 10.0)])
def test_connect_timeout_in_the_url_overrides_the_setting(seconds, timeout):
    assert pool(f"postgres://localhost/tasks?connect_timeout={seconds}")["timeout"] == timeout


@pytest.mark.parametrize("seconds", ["soon", "-1", "2.5"])
def test_a_connect_timeout_that_is_not_a_number_of_seconds_is_refused(seconds):
    with pytest.raises(ConfigurationError, match="connect_timeout must be a number of seconds"):
        parse(f"postgres://localhost/tasks?connect_timeout={seconds}")


@pytest.mark.parametrize(
    "options",
    [
        "-c%20search_path%3Dapp%20-c%20statement_timeout%3D250",
        "-csearch_path=app+-cstatement_timeout=250",
        "--search_path=app%20--statement_timeout=250",
    ],
)
def test_options_become_session_settings_and_override_ours(options):
    settings = {"application_name": "doable", "search_path": "app", "statement_timeout": "250"}
    assert pool(f"postgres://localhost/tasks?options={options}")["server_settings"] == settings


def test_neons_endpoint_option_is_ignored_because_tls_carries_it(caplog):
    with caplog.at_level(logging.INFO, "doable.database"):
        found = parse("postgres://ada:word@localhost/tasks?sslmode=require&options=endpoint%3Dep-cool-1234")
    assert found == {**PLAIN, "ssl": "require"}
    assert "options endpoint is ignored" in caplog.text


@pytest.mark.parametrize("options", ["-d%205", "search_path=app", "-c%20search_path"])
def test_options_of_another_form_are_refused(options):
    with pytest.raises(ConfigurationError, match="options may contain only '-c name=value'"):
        parse(f"postgres://localhost/tasks?options={options}")


@pytest.mark.parametrize("pooler", ["db", "db?pgbouncer=true", "ep-1-pooler.eu.aws.neon.tech"])
@pytest.mark.parametrize("options", ["-c%20search_path%3Dapp", "--search_path=app", "endpoint%3Dep-1%20-cjit%3Doff"])
def test_options_are_refused_behind_a_pooler_because_it_keeps_no_session_settings(pooler, options):
    host, _, query = pooler.partition("?")
    url = f"postgres://ada:pass-word@{host}/tasks?{query}&options={options}"
    variables = {"db_pgbouncer": "1"} if pooler == "db" else {}
    with pytest.raises(ConfigurationError) as refused:
        pool(url, **variables)
    assert refused.value.detail == POOLED_OPTIONS
    assert "ALTER ROLE name SET search_path = schema" in POOLED_OPTIONS


def test_options_without_session_settings_are_accepted_behind_a_pooler():
    url = "postgres://ada@ep-1-pooler.eu.aws.neon.tech/t?options=endpoint%3Dep-1%20-c%20application_name%3Dada"
    assert pool(url)["server_settings"] == {"application_name": "ada"}


@pytest.mark.parametrize("query", ["", "?options=-c%20search_path%3Dapp"])
def test_a_url_for_migrations_is_direct_although_a_pooler_serves_requests(query):
    direct = f"postgres://ada@db/tasks{query}"
    found = Settings.from_environ(
        {"DATABASE_URL": "postgres://ada@pooler/tasks", "DB_PGBOUNCER": "1", "MIGRATIONS_DATABASE_URL": direct}
    )
    assert "statement_cache_size" not in credentials(found, direct)
    assert credentials(found, direct)["server_settings"].get("search_path") == ("app" if query else None)
    assert credentials(found, found.database_url)["statement_cache_size"] == 0


def test_a_size_of_the_statement_cache_is_ignored_and_logged_behind_a_pooler(caplog):
    with caplog.at_level(logging.INFO, "doable.database"):
        found = pool("postgres://ada@db/tasks?pgbouncer=true&statement_cache_size=100")
        assert pool("postgres://ada@db/tasks?statement_cache_size=100")["statement_cache_size"] == 100
    assert found["statement_cache_size"] == 0
    assert caplog.messages == ["DATABASE_URL: statement_cache_size is ignored, a pooler keeps no prepared statements"]


def test_user_password_and_database_are_percent_decoded():
    found = parse("postgres://a%40b%3A:p%2F%3F%23%25%20%C3%BC+@localhost/t%2Fask%20s")
    assert (found["user"], found["password"], found["database"]) == ("a@b:", "p/?#% ü+", "t/ask s")


@pytest.mark.parametrize(
    "url", ["postgresql://ada:@/tasks?host=/run/My%20Sockets", "postgresql://ada@%2Frun%2FMy%20Sockets/tasks"]
)
def test_a_host_may_be_a_folder_of_unix_sockets_in_any_case(url):
    assert parse(url) == {**PLAIN, "host": "/run/My Sockets", "password": None}


def test_all_parts_of_a_url_may_be_query_parameters():
    assert parse("postgres:///?host=db&port=6432&user=ada&password=word&dbname=tasks&application_name=me") == {
        **PLAIN,
        "host": "db",
        "port": 6432,
        "server_settings": {"application_name": "me"},
    }


@pytest.mark.parametrize(
    ("host", "found"),
    [("[::1]", "::1"), ("[2001:DB8::7]", "2001:db8::7"), ("DB.Example.com", "db.example.com")],
)
def test_a_host_may_be_an_ipv6_address_or_a_name_in_any_case(host, found):
    assert parse(f"postgres://ada:word@{host}:6000/tasks") == {**PLAIN, "host": found, "port": 6000}


def test_the_default_database_has_the_name_of_the_user_as_in_libpq():
    assert parse("postgres://ada:word@localhost")["database"] == "ada"


@pytest.mark.parametrize("name", ["ssl", "statement_timeout", "host", "sslpassword"])
def test_an_unknown_parameter_is_refused_by_name(name):
    with pytest.raises(ConfigurationError, match=f"parameter that is not supported: {name}\\. Remove it"):
        parse(f"postgres://ada:word@localhost/tasks?sslmode=require&{name}=x")


@pytest.mark.parametrize("hosts", ["a,b", "a:5432,b:5432", "/run/a,/run/b"])
def test_several_hosts_are_refused(hosts):
    for url in (f"postgres://ada:word@{quote(hosts, safe=',:')}/tasks", f"postgres://ada:word@/tasks?host={hosts}"):
        with pytest.raises(ConfigurationError, match="names several hosts; name one"):
            parse(url)


@pytest.mark.parametrize("port", ["abc", "65536", "-1", "5432x", "0x10", "5_432", "0", "\u0665"])
def test_an_invalid_port_is_refused(port):
    for url in (f"postgres://ada:word@localhost:{port}/tasks", f"postgres://ada:word@/tasks?port={port}"):
        with pytest.raises(ConfigurationError, match="cannot be read: check its host and port"):
            parse(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://ada:word@localhost/tasks", "must begin with postgres://"),
        ("localhost/tasks", "must begin with postgres://"),
        ("sqlite:///tasks.db", "must begin with postgres://"),
        ("postgres://localhost", "must name a database"),
        ("postgres://localhost/", "must name a database"),
        ("postgres://[::1/tasks", "cannot be read"),
    ],
)
def test_a_url_of_anything_but_a_database_is_refused(url, reason):
    with pytest.raises(ConfigurationError, match=f"^DATABASE_URL {reason}"):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://ada:pass-word@localhost:port/tasks",
        "postgres://ada:pass-word#@localhost/tasks",
        "postgres://ada:1?pass-word=1@localhost/tasks",
        "postgres://ada:1/x?pass-word@localhost/tasks",
        "postgres://ada:1/x?pass-word@localhost/tasks?sslmode=require",
        "postgres://ada:pass-word/@localhost/tasks",
        "postgres://ada:pass-word@[::1/tasks",
        "postgres://ada:pass-word℀@localhost/tasks",
        "mysql://ada:pass-word@localhost/tasks",
        "postgres://:pass-word@localhost/",
        "postgres://ada:pass-word@localhost/tasks?nonsense=pass-word",
        "postgres://ada:pass-word@localhost/tasks?sslmode=pass-word",
        "postgres://ada:pass-word@localhost/tasks?options=pass-word",
        "postgres://ada:pass-word@localhost/tasks?connect_timeout=pass-word",
        "postgres://ada:pass-word@localhost/tasks?port=pass-word",
        "postgres://ada:pass-word@a,b/tasks",
    ],
)
def test_no_refusal_shows_the_password(url):
    with pytest.raises(ConfigurationError) as refused:
        parse(url)
    assert refused.value.detail.startswith("DATABASE_URL")
    assert "pass-word" not in refused.value.detail
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "variables", "pooled"),
    [
        ("postgres://localhost/tasks", {}, False),
        ("postgres://ep-cool-1234-pooler.eu-central-1.aws.neon.tech/tasks", {}, True),
        ("postgres://ep-pooler-1234.eu-central-1.aws.neon.tech/tasks?pgbouncer=true", {}, True),
        ("postgres://ep-1-pooler.eu-central-1.aws.neon.tech/tasks?pgbouncer=true", {}, True),
        ("postgres://localhost/tasks?pgbouncer=false", {}, False),
        ("postgres://localhost/tasks?pgbouncer=true&connection_limit=1", {}, True),
        ("postgres://localhost/tasks?pgbouncer=1", {}, True),
        ("postgres://postgres.abc:word@aws-0-eu-central-1.pooler.supabase.com:6543/postgres", {}, True),
        ("postgres://postgres.abc:word@aws-0-eu-central-1.pooler.supabase.com:5432/postgres", {}, False),
        ("postgres://postgres:word@db.abc.supabase.co:6543/postgres", {}, True),
        ("postgres://postgres:word@db.abc.supabase.co:5432/postgres", {}, False),
        ("postgres://localhost/tasks", {"db_pgbouncer": "1"}, True),
        ("postgres://localhost/tasks?pgbouncer=true", {"db_pgbouncer": "0"}, True),
    ],
)
def test_behind_a_pooler_nothing_is_left_in_the_session(url, variables, pooled):
    found = pool(url, db_statement_timeout="3", **variables)
    assert "pgbouncer" not in found
    if pooled:
        assert found["statement_cache_size"] == 0
        assert found["server_settings"] == {"application_name": "doable"}
        assert found["command_timeout"] == 3.0
    else:
        assert "statement_cache_size" not in found
        assert found["server_settings"] == {"application_name": "doable", "statement_timeout": "3000"}
        assert found["command_timeout"] == 4.0, "the server's own limit comes first"


def test_the_pool_is_as_large_as_the_settings_say_and_may_be_empty():
    found = pool("postgres://localhost/tasks", db_connections="12", web_concurrency="2", db_acquire_timeout="1.5")
    assert (found["minsize"], found["maxsize"], found["acquire_timeout"]) == (0, 3, 1.5)
    assert handover.KEPT + found["max_inactive_connection_lifetime"] < 300, "or a serverless database never sleeps"


async def test_a_connection_has_the_options_of_its_url(settings):
    joint = "&" if "?" in settings.database_url else "?"
    url = f"{settings.database_url}{joint}options=-c%20statement_timeout%3D1234&application_name=ada"
    client = FairClient(connection_name="default", **credentials(settings, url))
    try:
        row = await client.call(
            "SELECT current_setting('statement_timeout') AS timeout, current_setting('application_name') AS name, "
            "current_database() AS database"
        )
        assert dict(row) == {"timeout": "1234ms", "name": "ada", "database": parse(url)["database"]}
    finally:
        await client.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no unix sockets")
async def test_the_driver_knows_every_sslmode_that_it_is_given(settings):
    for mode in ("disable", "allow", "prefer"):
        joint = "&" if "?" in settings.database_url else "?"
        found = parse(f"{settings.database_url}{joint}sslmode={mode}")
        found.pop("pgbouncer")
        connection = await asyncpg.connect(**found)
        await connection.close()
