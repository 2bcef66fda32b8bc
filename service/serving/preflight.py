"""Check the whole environment before the service starts, so that one start reports all faults."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping

from service import database
from service.config import Settings
from service.config.spelling import unknown_settings
from service.errors import ConfigurationError

logger = logging.getLogger("doable.settings")


def read(environ: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Read the settings. Return them, and a sentence for each invalid variable, by name.

    In the settings, an invalid variable has its default value.
    """
    settings, faults = Settings.read(environ)
    if not any(
        name.startswith(("BETTER_AUTH_", "JWT_")) for name in faults
    ):  # otherwise one fault would cause two sentences
        _note(faults, "BETTER_AUTH_URL", settings.require_issuer)
    if "DATABASE_URL" not in faults:
        _note(faults, "DATABASE_URL", lambda: database.credentials(settings, settings.require_database()))
    if settings.migrations_database_url:
        _note(
            faults, "MIGRATIONS_DATABASE_URL", lambda: database.credentials(settings, settings.migrations_database_url)
        )
    return settings, faults


def usable(environ: Mapping[str, str]) -> Settings:
    """Read the settings. Raises ConfigurationError with a sentence for each missing or invalid variable."""
    settings, faults = read(environ)
    if faults:
        raise ConfigurationError(*faults.values())
    return settings


def unknown(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that looks like a setting but is not."""
    known = {field.name.upper() for field in dataclasses.fields(Settings)}
    return [
        f"{name} is not a setting of Doable" + (f"; did you mean {meant}?" if meant else "; it has no effect.")
        for name, meant in unknown_settings(environ, known).items()
    ]


def warn_of_unknown(environ: Mapping[str, str]) -> None:
    """Log a warning for each variable that looks like a setting but is not."""
    for sentence in unknown(environ):
        logger.warning(sentence)


def _note(faults: dict[str, str], name: str, check: Callable[[], object]) -> None:
    try:
        check()
    except ConfigurationError as error:
        faults[name] = error.detail.replace("DATABASE_URL", name) if name.endswith("DATABASE_URL") else error.detail
