"""Read settings from environment variables: each is a field of a dataclass, with its parser and its help text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from service.errors import ConfigurationError


def setting(parse: Callable[[str], Any], default: Any, help_text: str, *, secret: bool = False) -> Any:  # noqa: ANN401 - like dataclasses.field
    """Declare a setting: its parser, its default, and the sentence that the reference prints."""
    return dataclasses.field(default=default, metadata={"parse": parse, "help": help_text, "secret": secret})


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """The base class of settings. Each field is the environment variable of the same name in capitals."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], **defaults: str) -> Self:
        """Read the settings. `defaults` (by field name) replace variables that are unset or blank.

        Raises ConfigurationError with a sentence for each invalid variable. It names the variable, never its value.
        """
        settings, faults = cls.read(environ, **defaults)
        if faults:
            raise ConfigurationError(*faults.values())
        return settings

    @classmethod
    def read(cls, environ: Mapping[str, str], **defaults: str) -> tuple[Self, dict[str, str]]:
        """Read the settings as `from_environ` does. Return them, and a sentence for each invalid variable, by name.

        In the settings, an invalid variable has its default value.
        """
        defaults = cls._implied(environ) | defaults
        values: dict[str, Any] = {}
        faults: dict[str, str] = {}
        for field in dataclasses.fields(cls):
            name = field.name.upper()
            text = environ.get(name, "").strip() or defaults.get(field.name, "")
            if not text:
                continue
            try:
                text.encode()
                values[field.name] = field.metadata["parse"](text)
            except UnicodeEncodeError:
                faults[name] = f"{name} must be text in UTF-8."
            except ValueError as error:
                faults[name] = f"{name} must be {error}."
        for name, rule in cls._conflicts(values).items():
            faults[name.upper()] = f"{name.upper()} must be {rule}."
            del values[name]
        return cls(**values), faults

    @classmethod
    def _implied(cls, environ: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG003 - for subclasses
        """Return the defaults, by field name, that other variables of `environ` imply."""
        return {}

    @classmethod
    def _conflicts(cls, values: Mapping[str, Any]) -> dict[str, str]:  # noqa: ARG003 - for subclasses
        """Return the rule for each field of `values`, by name, whose value conflicts with another field."""
        return {}

    def masked(self) -> dict[str, str]:
        """Return every setting as text, by its variable's name. Secrets show only whether they are set."""
        return {
            field.name.upper(): _show(value, secret=field.metadata["secret"] and value != field.default)
            for field in dataclasses.fields(self)
            for value in (getattr(self, field.name),)
        }


def _show(value: Any, *, secret: bool) -> str:  # noqa: ANN401 - whatever a setting may hold
    if value in ("", ()):
        return "(not set)"
    if secret:
        return "(set)"
    return ",".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
