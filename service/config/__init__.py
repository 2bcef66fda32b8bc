"""The settings of the service. This package alone reads the environment, once, at startup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from service.config import parsing
from service.config.environment import EnvironmentSettings, setting
from service.config.parsing import PUBLISHED_ALGORITHMS, SHARED_ALGORITHMS
from service.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(EnvironmentSettings):
    """All settings. Each field is the environment variable of the same name in capitals."""

    database_url: str = setting(
        parsing.text, "",
        "The URL of the PostgreSQL database, such as postgres://user:password@host:5432/name, in the format of Heroku "
        "and Neon.",
        secret=True,
    )  # fmt: skip
    migrations_database_url: str = setting(
        parsing.text, "",
        "A direct URL for migrations, if DATABASE_URL leads to a pooler. Unset: DATABASE_URL.",
        secret=True,
    )  # fmt: skip
    better_auth_secret: str = setting(
        parsing.secret_or_secrets, "",
        "The secret that signs HS256 tokens; at least 32 bytes. To rotate it, set the old and the new secret, "
        "separated by a comma: tokens of both are accepted, and the first signs.",
        secret=True,
    )  # fmt: skip
    better_auth_secrets: tuple[str, ...] = setting(
        parsing.versioned_secrets, (),
        "The same in the format of Better Auth's own variable, such as 2:new,1:old. These secrets come before those "
        "of BETTER_AUTH_SECRET.",
        secret=True,
    )  # fmt: skip
    better_auth_url: str = setting(
        parsing.auth_server, "",
        "The address of Better Auth, such as https://app.example.com. Its published keys are read from there, and its "
        "tokens must name its origin as issuer and audience.",
    )  # fmt: skip
    jwt_jwks_url: str = setting(
        parsing.web_address, "", "The address of another issuer's key set (JWKS), used instead of BETTER_AUTH_URL's."
    )
    allow_insecure_issuer: bool = setting(
        parsing.switch, False,  # noqa: FBT003 - the default is the second argument of every setting
        "1 allows http:// addresses of key sets in a private network, such as http://auth:3000. This removes the "
        "proof that the keys are the issuer's: anyone who controls that network can sign in as any user.",
    )  # fmt: skip
    jwt_algorithms: tuple[str, ...] = setting(
        parsing.algorithms, (),
        "The accepted algorithms, comma-separated, of HS256, EdDSA (or Ed25519), ES256, ES384, ES512, RS256 and "
        "PS256. Unset: HS256 with BETTER_AUTH_SECRET, the others with a key set.",
    )  # fmt: skip
    jwt_issuer: tuple[str, ...] = setting(
        parsing.words, (),
        "The accepted issuers (`iss`), comma-separated. Unset: the origin of BETTER_AUTH_URL for tokens of its key "
        "set, otherwise any.",
    )  # fmt: skip
    jwt_audience: tuple[str, ...] = setting(
        parsing.words, (),
        "The accepted audiences (`aud`), comma-separated. Unset: the origin of BETTER_AUTH_URL for tokens of its key "
        "set, otherwise any.",
    )  # fmt: skip
    jwt_user_claim: str = setting(parsing.text, "sub", "The claim with the user's id.")
    jwks_cooldown: float = setting(
        parsing.seconds(1, 3600), 30.0,
        "Minimum time between two fetches of the key set because of unknown key ids, in seconds.",
    )  # fmt: skip
    jwks_max_stale: float = setting(
        parsing.seconds(60, 999_999), 86_400.0,
        "Time for which known keys stay trusted while the issuer does not answer, in seconds.",
    )  # fmt: skip
    token_cache_size: int = setting(
        parsing.integer(0, 1_000_000), 10_000,
        "Number of verified tokens that each worker caches until they expire; 0 for none.",
    )  # fmt: skip
    rate_limit: str = setting(
        parsing.rate, "600/minute", "Maximum rate of requests per user, such as 600/minute; 'off' for no limit."
    )
    auth_failure_limit: str = setting(
        parsing.rate, "100/minute", "Maximum rate of failed authentications per client address; 'off' for no limit."
    )
    rate_limit_storage: str = setting(
        parsing.rate_storage, "memory",
        "Storage of the rate limit counters: 'memory' (each worker counts separately), or redis://host:6379/0 (shared "
        "by all workers).",
        secret=True,
    )  # fmt: skip
    proxies_count: int = setting(
        parsing.integer(0, 10), 0,
        "Number of your own proxies in front that append to X-Forwarded-For; the client's address is counted from its "
        "right end. On Heroku, the default is 1.",
    )  # fmt: skip
    read_timeout: float = setting(
        parsing.seconds(1, 300), 10.0, "Time limit for the arrival of a request, headers and body, in seconds."
    )
    drain_delay: float = setting(
        parsing.seconds(0, 60), 0.0,
        "Time after SIGTERM during which requests are still accepted while /health/ready already fails, in seconds. A "
        "load balancer can stop sending requests in this time.",
    )  # fmt: skip
    metrics_token: str = setting(
        parsing.token, "",
        "The bearer token with which Prometheus reads /metrics. Unset: only clients on this machine may read them.",
        secret=True,
    )  # fmt: skip
    jwt_leeway: float = setting(
        parsing.seconds(0, 120), 10.0,
        "Allowed difference between the issuer's clock and this machine's for 'exp' and 'nbf', in seconds.",
    )  # fmt: skip
    host: str = setting(parsing.text, "0.0.0.0", "The address to listen on.")  # noqa: S104 - a container must listen on all
    port: int = setting(parsing.integer(1, 65535), 8000, "The TCP port to listen on.")
    web_concurrency: int = setting(parsing.integer(1, 64), 1, "The number of worker processes.")
    cors_origins: tuple[str, ...] = setting(
        parsing.origin_list, (),
        "Origins of pages that may call the API from a browser, comma-separated, of any scheme. One `*` in the first "
        "label of a host matches letters, digits and hyphens: https://my-app-*.vercel.app. None by default.",
    )  # fmt: skip
    task_quota: int = setting(
        parsing.integer(1, 1_000_000), 10_000, "Maximum number of live tasks per user. Another create gets 409."
    )
    trash_quota: int = setting(
        parsing.integer(1, 1_000_000), 20_000,
        "Maximum number of tasks and lists in the trash of a user. Another deletion gets 409.",
    )  # fmt: skip
    idempotency_bytes: int = setting(
        parsing.integer(2**20, 999_999_999), 10_485_760,
        "Maximum size of the stored responses to a user's Idempotency-Keys, in bytes. Beyond it: 409.",
    )  # fmt: skip
    event_streams_per_user: int = setting(
        parsing.integer(1, 100_000), 20,
        "Maximum number of open event streams of one user in each worker. Another stream gets 429.",
    )  # fmt: skip
    event_streams: int = setting(
        parsing.integer(1, 100_000), 2_000,
        "Maximum number of open event streams in each worker. Another stream gets 429.",
    )  # fmt: skip
    trash_retention_days: int = setting(
        parsing.integer(1, 3650),
        30,
        "Days that a deleted task or list stays in the trash before it is deleted for good.",
    )
    db_connections: int = setting(
        parsing.integer(2, 10_000), 20,
        "The number of database connections that this service may use. The pools of all workers together use half of "
        "it, because two releases run at the same time during a deployment.",
    )  # fmt: skip
    db_pgbouncer: bool = setting(
        parsing.switch, False,  # noqa: FBT003 - the default is the second argument of every setting
        "1 if DATABASE_URL leads to PgBouncer (or another pooler) in transaction mode. Detected automatically for Neon "
        "('-pooler' in the host name) and Supabase (port 6543).",
    )  # fmt: skip
    db_acquire_timeout: float = setting(
        parsing.seconds(0.1, 60), 5.0, "Time that a request waits for a free connection before it gets 503, in seconds."
    )
    db_statement_timeout: float = setting(
        parsing.seconds(0.1, 300), 5.0,
        "Time limit for one SQL statement, in seconds. After it, the statement is cancelled and the request gets 503.",
    )  # fmt: skip
    db_connect_timeout: float = setting(
        parsing.seconds(0.1, 60), 10.0, "Time limit for opening a connection to the database, in seconds."
    )
    migration_lock_timeout: float = setting(
        parsing.seconds(0.1, 300), 3.0,
        "Time that a migration waits for a lock on a table before it lets requests run, in seconds; it tries four "
        "times.",
    )  # fmt: skip
    otel_exporter_otlp_endpoint: str = setting(
        parsing.collector, "",
        "The address of an OpenTelemetry collector that accepts traces over HTTP, such as http://localhost:4318; "
        "/v1/traces is appended. It turns tracing on, which needs doable[otel].",
    )  # fmt: skip
    otel_exporter_otlp_traces_endpoint: str = setting(
        parsing.collector, "", "The same for traces only, with the whole path."
    )
    otel_exporter_otlp_protocol: str = setting(
        parsing.one_of("http/protobuf"), "http/protobuf", "The protocol for traces. No other is supported."
    )
    otel_traces_exporter: str = setting(
        parsing.one_of("otlp", "none"), "",
        "'otlp' turns tracing on, with the endpoint http://localhost:4318 if none is set; 'none' turns it off.",
    )  # fmt: skip
    otel_sdk_disabled: bool = setting(
        parsing.switch, False,  # noqa: FBT003 - the default is the second argument of every setting
        "1 turns tracing off, regardless of the other settings.",
    )  # fmt: skip
    trace_user_ids: bool = setting(
        parsing.switch, False,  # noqa: FBT003 - the default is the second argument of every setting
        "1 adds the user's id to traces, as `enduser.id`.",
    )  # fmt: skip
    log_level: str = setting(
        parsing.one_of("debug", "info", "warning", "error"), "info", "The minimum level of log entries."
    )
    log_format: str = setting(
        parsing.one_of("json", "text"), "json", "'json': one object per line, for machines; 'text': for people."
    )

    @classmethod
    def _implied(cls, environ: Mapping[str, str]) -> dict[str, str]:
        """Count Heroku's router as one proxy on a dyno."""
        return {"proxies_count": "1"} if "DYNO" in environ else {}

    @classmethod
    def _conflicts(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """Require https:// for addresses of keys, unless ALLOW_INSECURE_ISSUER is set."""
        if values.get("allow_insecure_issuer"):
            return {}
        addresses = {name: values[name] for name in ("better_auth_url", "jwt_jwks_url") if name in values}
        return {name: parsing.WEB_ADDRESS for name, url in addresses.items() if not parsing.is_protected(url)}

    def require_database(self) -> str:
        """Return the database's URL. Raises ConfigurationError if it is not set."""
        if not self.database_url:
            raise ConfigurationError(
                "DATABASE_URL is not set; set it to the URL of your PostgreSQL database, or use `make run`."
            )
        return self.database_url

    def require_issuer(self) -> None:
        """Raise ConfigurationError if no source of keys is configured, or if an algorithm has no key."""
        if not (self.secrets or self.key_set_url):
            raise ConfigurationError(
                "No source of keys is set, so no token could be verified; set BETTER_AUTH_URL to the address of Better "
                "Auth, or BETTER_AUTH_SECRET to the secret that signs your tokens."
            )
        for algorithm in self.jwt_algorithms:
            if algorithm in SHARED_ALGORITHMS and not self.secrets:
                raise ConfigurationError(f"JWT_ALGORITHMS names {algorithm}, which needs BETTER_AUTH_SECRET.")
            if algorithm in PUBLISHED_ALGORITHMS and not self.key_set_url:
                raise ConfigurationError(
                    f"JWT_ALGORITHMS names {algorithm}, which needs BETTER_AUTH_URL or JWT_JWKS_URL."
                )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets of HS256 tokens. The first one signs."""
        return tuple(dict.fromkeys((*self.better_auth_secrets, *parsing.split_secrets(self.better_auth_secret))))

    @property
    def key_set_url(self) -> str:
        """The address of the key set; empty if none is configured. Better Auth's default path is /api/auth/jwks."""
        if self.jwt_jwks_url or not self.better_auth_url:
            return self.jwt_jwks_url
        path = urlsplit(self.better_auth_url).path
        return self.better_auth_url + ("/jwks" if path else "/api/auth/jwks")

    @property
    def is_traced(self) -> bool:
        """Whether OpenTelemetry's own variables turn tracing on."""
        endpoint = self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint
        wanted = self.otel_traces_exporter or ("otlp" if endpoint else "none")
        return wanted == "otlp" and not self.otel_sdk_disabled

    @property
    def better_auth_origin(self) -> str:
        """The issuer and the audience in Better Auth's tokens: its origin, as Better Auth itself normalises it."""
        return parsing.origin_of(self.better_auth_url) if self.better_auth_url else ""

    @property
    def pool_size(self) -> int:
        """The number of connections in one worker's pool.

        During a deployment two releases run at the same time. The pools of all workers of both use at most
        `db_connections`.
        """
        return max(1, self.db_connections // (2 * self.web_concurrency))
