"""The fields that tasks and lists share in requests, with their rules and the functions that read their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from service.database.expected import MAXIMUM_BIGINT
from service.database.items import read_uid
from service.errors import FieldError
from service.web import validation
from service.web.text import INVISIBLE, is_blank

# Bodies that count as no body: axios sends null for undefined data.
NOTHING = frozenset({b"", b"null"})
# PostgreSQL cannot store NUL. Lengths count after trimming, which JSON Schema cannot express.
WITHOUT_NUL = "^[^\\u0000]*$"
# At least one visible character. Any character beyond U+FFFF matches: engines without Unicode mode split it.
NOT_BLANK = f"^[^\\u0000]*[^{INVISIBLE}][^\\u0000]*$"

# A cleaner converts a value of the right type to the stored value. It raises ValueError, with a text if the rule of the
# field does not explain the error.
Cleaner = Callable[[Any], Any]


class PartError(ValueError):
    """An invalid member of a field that is an object. `part` is its name."""

    def __init__(self, part: str, message: str) -> None:
        """Store the name and the message for the client."""
        super().__init__(message)
        self.part = part


def rule(sentence: str, *, example: object = None, read: Cleaner | None = None, **schema: object) -> Meta:
    """Return the rule of a field, which errors and docs show, with an example and more JSON Schema keywords.

    `read` is the cleaner that enforces the rest of the rule.
    """
    examples = {} if example is None else {"examples": [example]}
    reader = {"read": read} if read else {}
    return Meta(extra={"rule": sentence, **reader}, extra_json_schema={"description": sentence, **examples, **schema})


def read_text(sent: str, shortest: int, longest: int) -> str:
    """Trim a text. Raises ValueError for a wrong length, for NUL, and for a required text that is not visible."""
    if "\0" in sent:
        raise ValueError("must not contain the NUL character")
    text = sent.strip()
    if not shortest <= len(text) <= longest or (shortest and is_blank(text)):
        raise ValueError
    return text


def read_new_uid(sent: str | None) -> str | None:
    """Return the uid that the client chose, in lower case. Raises ValueError for a text that is not a UUID."""
    return None if sent is None else read_uid(sent)


def read_related(sent: int | str) -> str:
    """Return an id or a uid as text for the database. Raises ValueError for any other text."""
    if isinstance(sent, str):
        return read_uid(sent)
    if not 1 <= sent <= MAXIMUM_BIGINT:
        raise ValueError
    return str(sent)


Uid = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "uuid"})] | UnsetType | None,
    rule(
        "a UUID of any version that names the new item, also if the request is repeated; without it, the service "
        "chooses one",
        example="019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04",
        read=read_new_uid,
    ),
]
Related = (
    Annotated[int, Meta(extra_json_schema={"minimum": 1})] | Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
)
ReadOnly = Annotated[Any, rule("ignored in requests: the service assigns it", readOnly=True)]
IfVersion = Annotated[
    Annotated[int, Meta(ge=1, le=MAXIMUM_BIGINT)] | UnsetType,
    rule("the version that you expect; nothing is written if the current version is another one", example=7),
]


def clean(sent: Struct, cleaners: Mapping[str, Cleaner]) -> tuple[dict[str, Any], list[FieldError]]:
    """Convert the fields of `sent` that have a cleaner. Returns the values by name, and a fault for each invalid one.

    An omitted field has no value.
    """
    values: dict[str, Any] = {}
    faults: list[FieldError] = []
    for name, read in cleaners.items():
        value = getattr(sent, name)
        if value is UNSET:
            continue
        try:
            values[name] = read(value)
        except PartError as error:
            faults.append(FieldError(f"{name}.{error.part}", str(error)))
        except ValueError as error:
            faults.append(FieldError(name, str(error) or validation.rule(type(sent), name)))
    return values, faults
