"""The settings: accepted values, refused values and the error texts."""

from __future__ import annotations

import dataclasses

import pytest

from service.auth.trust import published_keys, trusted_sources
from service.config import Settings
from service.config.parsing import BETTER_AUTH_DEFAULT_SECRET
from service.config.spelling import unknown_settings
from service.errors import ConfigurationError

SECRET = "0123456789abcdef0123456789abcdef"

ACCEPTED = [
    ("database_url", "postgres://u:p@host/name", "postgres://u:p@host/name"),
    ("migrations_database_url", "postgres://u:p@host/name", "postgres://u:p@host/name"),
    ("better_auth_secret", SECRET, SECRET),
    ("better_auth_url", "https://app.example.com", "https://app.example.com"),
    ("better_auth_url", "https://app.example.com/api/auth/", "https://app.example.com/api/auth"),
    ("better_auth_url", "http://localhost:3000", "http://localhost:3000"),
    ("better_auth_url", "http://127.0.0.1:3000", "http://127.0.0.1:3000"),
    ("better_auth_url", "http://[::1]:3000", "http://[::1]:3000"),
    ("jwt_jwks_url", "https://issuer.example.com/keys", "https://issuer.example.com/keys"),
    ("better_auth_secret", f"{SECRET}1, {SECRET}2", f"{SECRET}1, {SECRET}2"),
    ("better_auth_secrets", f"2:{SECRET}2,1:{SECRET}1", (f"{SECRET}2", f"{SECRET}1")),
    ("better_auth_secrets", f"1:{SECRET}:", (f"{SECRET}:",)),
    ("allow_insecure_issuer", "1", True),
    ("jwt_algorithms", "EdDSA, ES256", ("EdDSA", "ES256")),
    ("jwt_algorithms", "Ed25519,ES384,EdDSA", ("EdDSA", "ES384")),
    ("jwt_issuer", "https://a.example.com,https://b.example.com", ("https://a.example.com", "https://b.example.com")),
    ("jwt_audience", " api ", ("api",)),
    ("jwt_user_claim", "user_id", "user_id"),
    ("jwt_leeway", "0", 0.0),
    ("jwt_leeway", "120", 120.0),
    ("jwt_leeway", "2.5", 2.5),
    ("jwks_cooldown", "1", 1.0),
    ("jwks_max_stale", "999999", 999_999.0),
    ("token_cache_size", "0", 0),
    ("event_streams", "10", 10),
    ("event_streams_per_user", "1", 1),
    ("rate_limit", "10/second", "10/second"),
    ("rate_limit", "1000/Hour", "1000/hour"),
    ("rate_limit", "OFF", "off"),
    ("auth_failure_limit", "1/day", "1/day"),
    ("rate_limit_storage", "memory", "memory"),
    ("rate_limit_storage", "rediss://:word@host:6379/0", "rediss://:word@host:6379/0"),
    ("proxies_count", "10", 10),
    ("read_timeout", "1", 1.0),
    ("drain_delay", "10.5", 10.5),
    ("metrics_token", "0123456789abcdef", "0123456789abcdef"),
    ("drain_delay", "0", 0.0),
    ("drain_delay", "60", 60.0),
    ("metrics_token", "0123456789abcde~", "0123456789abcde~"),
    ("host", "::1", "::1"),
    ("port", "1", 1),
    ("port", "65535", 65535),
    ("port", " 8080 ", 8080),
    ("web_concurrency", "64", 64),
    ("cors_origins", "https://app.example.com", ("https://app.example.com",)),
    (
        "cors_origins",
        " https://a.example.com/ , http://localhost:3000,, http://[::1]:5173",
        ("https://a.example.com", "http://localhost:3000", "http://[::1]:5173"),
    ),
    (
        "cors_origins",
        "https://App.Example.com:443,https://app.example.com/,capacitor://localhost,https://*.example.com",
        ("https://app.example.com", "capacitor://localhost", "https://*.example.com"),
    ),
    ("task_quota", "1000000", 1_000_000),
    ("trash_quota", "1000000", 1_000_000),
    ("idempotency_bytes", "999999999", 999_999_999),
    ("trash_retention_days", "3650", 3650),
    ("migration_lock_timeout", "0.5", 0.5),
    ("db_connections", "2", 2),
    ("db_pgbouncer", "1", True),
    ("db_pgbouncer", "On", True),
    ("db_pgbouncer", "true", True),
    ("db_pgbouncer", "YES", True),
    ("db_pgbouncer", "0", False),
    ("db_pgbouncer", "off", False),
    ("db_pgbouncer", "False", False),
    ("db_pgbouncer", "no", False),
    ("db_acquire_timeout", "0.1", 0.1),
    ("db_statement_timeout", "300", 300.0),
    ("db_connect_timeout", "60.000", 60.0),
    ("otel_exporter_otlp_endpoint", "http://collector:4318", "http://collector:4318"),
    ("otel_exporter_otlp_traces_endpoint", "https://t.example.com/v1/traces", "https://t.example.com/v1/traces"),
    ("otel_exporter_otlp_protocol", "http/protobuf", "http/protobuf"),
    ("otel_traces_exporter", "OTLP", "otlp"),
    ("otel_sdk_disabled", "true", True),
    ("trace_user_ids", "1", True),
    ("log_level", "WARNING", "warning"),
    ("log_format", "Text", "text"),
]

REFUSED = [
    ("better_auth_secret", "zq" * 15 + "z"),
    ("better_auth_secret", BETTER_AUTH_DEFAULT_SECRET),
    ("better_auth_secret", f"{SECRET},zqzqzqzqzq"),
    ("better_auth_secret", f"{SECRET},{BETTER_AUTH_DEFAULT_SECRET}"),
    ("better_auth_secret", ",,,,,,,,,"),
    ("better_auth_secrets", f"{SECRET}zq"),
    ("better_auth_secrets", "2:zqzqzqzqzq"),
    ("better_auth_secrets", f"2:{SECRET},{SECRET}zq"),
    ("better_auth_secrets", f"2:{BETTER_AUTH_DEFAULT_SECRET}"),
    ("allow_insecure_issuer", "please"),
    ("better_auth_url", "http://auth:3000"),
    ("better_auth_url", "http://10.0.0.5:3000"),
    ("jwt_jwks_url", "http://auth.default.svc.cluster.local/keys"),
    ("better_auth_url", "http://app.example.com"),
    ("better_auth_url", "app.example.com"),
    ("better_auth_url", "https://"),
    ("better_auth_url", "https://hans:pass-word@app.example.com"),
    ("better_auth_url", "https://:pass-word@app.example.com"),
    ("better_auth_url", "https://app.example.com?x=1"),
    ("better_auth_url", "https://app.example.com#x"),
    ("better_auth_url", "https://app.example.com:99999"),
    ("better_auth_url", "https://[::1"),
    ("better_auth_url", "https://app..example.com"),
    ("better_auth_url", "https://1.2.3.256"),
    ("better_auth_url", "http://localhost.example.com"),
    ("better_auth_url", "http://127.0.0.1.example.com"),
    ("jwt_jwks_url", "file:///etc/passwd"),
    ("jwt_algorithms", "none"),
    ("jwt_algorithms", "EdDSA,HS384"),
    ("jwt_leeway", "121"),
    ("jwt_leeway", "-1"),
    ("jwt_leeway", "1e1"),
    ("jwt_leeway", "nan"),
    ("jwt_leeway", "ten"),
    ("jwks_cooldown", "0.9"),
    ("jwks_max_stale", "59"),
    ("token_cache_size", "1000001"),
    ("event_streams", "many"),
    ("event_streams_per_user", "-1"),
    ("rate_limit", "0/minute"),
    ("rate_limit", "600"),
    ("rate_limit", "600/fortnight"),
    ("auth_failure_limit", "-5/minute"),
    ("rate_limit_storage", "memcached://hans:pass-word@host"),
    ("proxies_count", "11"),
    ("read_timeout", "0.5"),
    ("drain_delay", "61"),
    ("metrics_token", "0123456789zqzqz"),
    ("metrics_token", "0123456789 zqzqzqzq"),
    ("metrics_token", "0123456789,zqzqzqzq"),
    ("metrics_token", "0123456789zqzqzqzü"),
    ("trash_retention_days", "0"),
    ("trash_retention_days", "3651"),
    ("migration_lock_timeout", "0"),
    ("port", "0"),
    ("port", "65536"),
    ("port", "80a"),
    ("port", "8_000"),
    ("port", "+80"),
    ("port", "9" * 5000),
    ("web_concurrency", "0"),
    ("web_concurrency", "65"),
    ("web_concurrency", "2.0"),
    ("cors_origins", "*"),
    ("cors_origins", "null"),
    ("cors_origins", "intranet.test"),
    ("cors_origins", "https://app.example.com/path"),
    ("cors_origins", "https://hans:pass-word@app.example.com"),
    ("cors_origins", "https://a.example.com https://b.example.com"),
    ("task_quota", "0"),
    ("trash_quota", "0"),
    ("idempotency_bytes", "1048575"),
    ("task_quota", "1000001"),
    ("db_connections", "1"),
    ("db_connections", "10001"),
    ("db_pgbouncer", "2"),
    ("db_pgbouncer", "maybe"),
    ("db_acquire_timeout", "0.09"),
    ("db_acquire_timeout", "61"),
    ("db_statement_timeout", "0"),
    ("db_statement_timeout", "301"),
    ("db_connect_timeout", "0"),
    ("db_connect_timeout", "forever"),
    ("otel_exporter_otlp_endpoint", "collector:4317"),
    ("otel_exporter_otlp_endpoint", "http://user:word@collector:4318"),
    ("otel_exporter_otlp_endpoint", "http://[collector:4318"),
    ("otel_exporter_otlp_traces_endpoint", "grpc://collector:4317"),
    ("otel_exporter_otlp_protocol", "grpc"),
    ("otel_traces_exporter", "jaeger"),
    ("otel_sdk_disabled", "maybe"),
    ("trace_user_ids", "2"),
    ("log_level", "verbose"),
    ("log_format", "xml"),
]

FIELDS = dataclasses.fields(Settings)
NAMES = {field.name.upper() for field in FIELDS}


def settings(**variables: str) -> Settings:
    return Settings.from_environ({name.upper(): value for name, value in variables.items()})


def test_a_variable_accepts_the_values_in_its_help_text(subtests):
    for name, text, value in ACCEPTED:
        with subtests.test(name=name, text=text, value=value):
            read = getattr(settings(**{name: text}), name)
            assert read == value
            assert type(read) is type(value)


def test_the_error_for_a_refused_variable_has_its_name_and_never_its_value(subtests):
    for name, text in REFUSED:
        with subtests.test(name=name, text=text):
            with pytest.raises(ConfigurationError) as refused:
                settings(**{name: text})
            sentence = refused.value.detail
            assert sentence.startswith(f"{name.upper()} must be ")
            assert sentence.endswith(".")
            assert len(sentence) < (300 if name == "cors_origins" else 200)
            if len(text) > 8 and name != "cors_origins":  # a shorter value may be a number that the error suggests
                assert text not in sentence
            assert "pass-word" not in sentence
            assert refused.value.__cause__ is None, "a cause would be printed with its value"
            assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_each_setting_with_a_rule_has_a_refused_example():
    free = {"database_url", "migrations_database_url", "host", "jwt_issuer", "jwt_audience", "jwt_user_claim"}
    assert {name for name, _ in REFUSED} == {field.name for field in FIELDS} - free
    assert {name for name, _, _ in ACCEPTED} == {field.name for field in FIELDS}


def test_settings_can_be_read_from_an_empty_environment():
    assert settings() == Settings()
    assert settings().port == 8000
    assert settings().web_concurrency == 1
    assert settings().db_connections == 20
    assert settings().task_quota == 10_000
    assert settings().trash_quota == 20_000
    assert settings().idempotency_bytes == 10 * 1024 * 1024
    assert settings().cors_origins == ()
    assert settings().log_format == "json"
    assert settings().db_pgbouncer is False


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_blank_variable_counts_as_unset(blank):
    for field in FIELDS:
        assert settings(**{field.name: blank}) == Settings(), field.name


def test_defaults_apply_only_to_unset_and_blank_variables():
    found = Settings.from_environ({"PORT": "81", "LOG_FORMAT": " "}, port="80", log_format="text", log_level="error")
    assert (found.port, found.log_format, found.log_level) == (81, "text", "error")


def test_a_default_is_checked_like_a_variable():
    with pytest.raises(ConfigurationError, match=r"^PORT must be"):
        Settings.from_environ({}, port="no")


@pytest.mark.parametrize("name", ["better_auth_secret", "database_url", "host"])
def test_bytes_that_are_not_utf8_are_refused_by_name(name):
    undecodable = (b"\xffsecret" * 8).decode("utf-8", "surrogateescape")  # as in os.environ
    with pytest.raises(ConfigurationError) as refused:
        settings(**{name: undecodable})
    assert refused.value.detail == f"{name.upper()} must be text in UTF-8."


def test_a_secret_is_measured_in_bytes():
    assert settings(better_auth_secret="ü" * 16).better_auth_secret == "ü" * 16
    for short in ("ü" * 15 + "a", "a" * 31):
        with pytest.raises(ConfigurationError, match="at least 32 bytes"):
            settings(better_auth_secret=short)


def test_white_space_around_a_secret_does_not_make_it_longer():
    with pytest.raises(ConfigurationError, match="at least 32 bytes"):
        settings(better_auth_secret="a" * 31 + "\n")


def test_the_secret_that_better_auth_publishes_is_refused_as_such():
    assert len(BETTER_AUTH_DEFAULT_SECRET.encode()) >= 32, "or its length would refuse it"
    with pytest.raises(ConfigurationError, match=r"Better Auth's default"):
        settings(better_auth_secret=BETTER_AUTH_DEFAULT_SECRET)


@pytest.mark.parametrize(
    ("connections", "workers", "size"),
    [("20", "1", 10), ("20", "2", 5), ("20", "4", 2), ("20", "3", 3), ("7", "1", 3), ("2", "1", 1), ("20", "64", 1)],
)
def test_two_releases_of_all_workers_share_the_connection_budget(connections, workers, size):
    found = settings(db_connections=connections, web_concurrency=workers)
    assert found.pool_size == size
    if size > 1:
        assert found.pool_size * found.web_concurrency * 2 <= found.db_connections


def test_all_faulty_variables_are_reported_at_once_each_with_its_sentence():
    with pytest.raises(ConfigurationError) as refused:
        settings(port="http", log_level="loud", cors_origins="*", host="localhost")
    assert [fault.split(" must be ")[0] for fault in refused.value.faults] == ["PORT", "CORS_ORIGINS", "LOG_LEVEL"]
    assert refused.value.detail == "\n".join(refused.value.faults)


@pytest.mark.parametrize(
    "address",
    [
        "http://auth:3000", "http://auth:3000/api/auth", "http://10.1.2.3", "http://192.168.0.2:3000",
        "http://[fd00::7]:3000", "http://auth.railway.internal", "http://host.docker.internal:3000",
        "http://auth.default.svc.cluster.local",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["better_auth_url", "jwt_jwks_url"])
def test_plain_http_to_a_private_issuer_needs_a_setting_that_the_error_names(name, address):
    with pytest.raises(
        ConfigurationError, match=f"^{name.upper()} must be an https:// .* with ALLOW_INSECURE_ISSUER=1"
    ):
        settings(**{name: address})
    found = settings(**{name: address}, allow_insecure_issuer="1")
    assert getattr(found, name) == address


@pytest.mark.parametrize("address", ["http://app.example.com", "http://8.8.8.8", "http://auth.internal.example.com"])
def test_plain_http_to_a_public_issuer_is_refused_even_with_the_setting(address):
    with pytest.raises(ConfigurationError, match=r"^BETTER_AUTH_URL must be an https:// address"):
        settings(better_auth_url=address, allow_insecure_issuer="1")


def test_the_first_secret_signs_and_versioned_ones_come_before_the_plain_one():
    assert settings(better_auth_secret=f"{SECRET}2,{SECRET}1").secrets == (f"{SECRET}2", f"{SECRET}1")
    both = settings(better_auth_secrets=f"3:{SECRET}3,2:{SECRET}2", better_auth_secret=f"{SECRET}2,{SECRET}1")
    assert both.secrets == (f"{SECRET}3", f"{SECRET}2", f"{SECRET}1")
    settings(better_auth_secrets=f"3:{SECRET}3", jwt_algorithms="HS256").require_issuer()


def test_a_comma_belongs_to_a_secret_that_would_be_too_short_without_it():
    assert settings(better_auth_secret="correct horse battery, staple stapler").secrets == (
        "correct horse battery, staple stapler",
    )
    for mixed in (f"{SECRET},old", f"old,{SECRET}"):
        with pytest.raises(
            ConfigurationError, match=r"^BETTER_AUTH_SECRET must be a list in which each secret is at le"
        ):
            settings(better_auth_secret=mixed)


MISSPELT = [
    ("CORS_ORIGIN", "CORS_ORIGINS"), ("DATABASEURL", "DATABASE_URL"), ("DATABASE_URI", "DATABASE_URL"),
    ("BETTERAUTH_SECRET", "BETTER_AUTH_SECRET"), ("cors_origins", "CORS_ORIGINS"), ("DB_HOST", ""), ("JWT_SECRET", ""),
    ("JWKS_URL", ""), ("RATE_LIMITS", "RATE_LIMIT"), ("LOG_LEVELS", "LOG_LEVEL"), ("BETTER_AUTH_ISSUER", ""),
    ("WEB_CONCURENCY", "WEB_CONCURRENCY"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "meant"), MISSPELT)
def test_an_unknown_variable_that_resembles_a_setting_is_found(name, meant):
    assert unknown_settings({name: "x"}, NAMES) == {name: meant}
    assert unknown_settings({name: " "}, NAMES) == {}, "a blank one is as good as none"


def test_variables_of_other_programs_and_of_better_auth_are_ignored():
    others = {
        "PATH": "/bin", "HOSTNAME": "web", "HOME": "/", "LANG": "C", "DYNO": "web.1", "TEST_DATABASE_URL": "x",
        "BETTER_AUTH_TRUSTED_ORIGINS": "x", "BETTER_AUTH_TELEMETRY": "0", "OTEL_SERVICE_NAME": "x", "PGHOST": "x",
        "DB_SERVICE_HOST": "10.0.0.1", "DB_PORT": "tcp://10.0.0.1:5432", "DB_PORT_5432_TCP": "tcp://10.0.0.1:5432",
    }  # fmt: skip
    assert unknown_settings(others | {field.name.upper(): "x" for field in FIELDS}, NAMES) == {}


def test_the_printed_settings_contain_no_secret():
    word = "unspeakable"
    secrets = {field.name: f"redis://{word}@host/{word * 4}" for field in FIELDS if field.metadata["secret"]}
    assert {"database_url", "migrations_database_url", "better_auth_secret", "rate_limit_storage"} <= set(secrets)
    secrets["better_auth_secrets"] = f"1:{word * 4}"
    masked = settings(**secrets).masked()
    assert word not in str(masked)
    assert {masked[name.upper()] for name in secrets} == {"(set)"}


def test_the_printed_settings_contain_every_setting():
    masked = settings(cors_origins="https://a.example.com,https://b.example.com", jwt_leeway="2.50").masked()
    assert list(masked) == [field.name.upper() for field in FIELDS]
    assert masked["CORS_ORIGINS"] == "https://a.example.com,https://b.example.com"
    assert masked["JWT_LEEWAY"] == "2.5"
    assert masked["PORT"] == "8000"
    assert masked["DATABASE_URL"] == masked["BETTER_AUTH_SECRET"] == masked["JWT_ALGORITHMS"] == "(not set)"


def test_settings_cannot_be_changed_once_read():
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().port = 1


def test_every_setting_has_help_and_a_default_of_its_own_kind(subtests):
    for field in FIELDS:
        with subtests.test(field=field.name):
            assert field.metadata["help"].endswith((".", ")"))
            shown = Settings().masked()[field.name.upper()]
            if shown != "(not set)" and not field.metadata["secret"]:
                assert getattr(settings(**{field.name: shown}), field.name) == field.default


def test_the_error_for_a_missing_database_names_the_variable():
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL is not set"):
        settings().require_database()
    assert settings(database_url="postgres://host/name").require_database() == "postgres://host/name"


def test_the_error_for_missing_keys_and_secrets_names_the_variables():
    with pytest.raises(ConfigurationError, match=r"BETTER_AUTH_URL.*BETTER_AUTH_SECRET"):
        settings().require_issuer()
    settings(better_auth_secret=SECRET).require_issuer()
    settings(better_auth_url="https://app.example.com").require_issuer()
    settings(jwt_jwks_url="https://issuer.example.com/keys").require_issuer()


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({"jwt_algorithms": "HS256", "better_auth_url": "https://app.example.com"}, "BETTER_AUTH_SECRET"),
        ({"jwt_algorithms": "HS256,EdDSA", "better_auth_secret": SECRET}, "BETTER_AUTH_URL or JWT_JWKS_URL"),
    ],
)
def test_an_algorithm_without_a_key_is_refused(variables, missing):
    with pytest.raises(ConfigurationError, match=f"^JWT_ALGORITHMS names .*, which needs {missing}"):
        settings(**variables).require_issuer()


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, ""),
        ({"better_auth_url": "https://app.example.com"}, "https://app.example.com/api/auth/jwks"),
        ({"better_auth_url": "https://app.example.com/auth/"}, "https://app.example.com/auth/jwks"),
        ({"better_auth_url": "https://a.example.com", "jwt_jwks_url": "https://b.example.com/k"}, "https://b.example.com/k"),
    ],
)  # fmt: skip
def test_the_key_set_is_found_from_better_auths_address_or_given(variables, address):
    assert settings(**variables).key_set_url == address


def test_the_origin_of_better_auth_is_normalised_as_better_auth_does(subtests):
    """Its tokens name `new URL(baseURL).origin`."""
    for address, origin in (
        ("https://app.example.com:8443", "https://app.example.com:8443"),
        ("https://app.example.com:8443/api/auth", "https://app.example.com:8443"),
        ("https://App.Example.com", "https://app.example.com"),
        ("HTTPS://app.example.com:443/", "https://app.example.com"),
        ("https://app.example.com:/api/auth", "https://app.example.com"),
        ("http://LocalHost:80", "http://localhost"),
        ("http://localhost:03000", "http://localhost:3000"),
        ("https://[2001:DB8:0::1]", "https://[2001:db8::1]"),
        ("https://müller.example", "https://xn--mller-kva.example"),
    ):
        with subtests.test(address=address):
            assert settings(better_auth_url=address).better_auth_origin == origin
    assert settings().better_auth_origin == ""


def test_an_explicit_issuer_is_compared_as_it_is():
    found = settings(better_auth_url="https://App.example.com:443", jwt_issuer="https://App.example.com:443")
    assert [trust.issuers for trust in trusted_sources(found, published_keys(found))] == [found.jwt_issuer]
    assert found.jwt_issuer == ("https://App.example.com:443",)


def test_on_heroku_the_router_is_the_one_proxy_in_front():
    assert settings(dyno="web.1").proxies_count == 1
    assert settings(dyno="web.1", proxies_count="2").proxies_count == 2
    assert settings().proxies_count == 0
