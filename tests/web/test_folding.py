"""Python and the database agree on equal texts, for every locale of the database."""

from __future__ import annotations

import json
import runpy
import unicodedata
from functools import cache
from types import SimpleNamespace
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.database import APP, migrations
from service.database.uids import new_uid
from service.tasks import listing, schemas
from service.tasks.models import Task
from service.transfer import writes as importing
from service.web.text import fold
from tests.recording import sent

LOCALES = {
    "C": "LC_COLLATE 'C' LC_CTYPE 'C'",
    "C.UTF-8": "LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
    # Turkish: its lower() makes a dotless i of I.
    "ICU": "LOCALE_PROVIDER icu ICU_LOCALE 'tr' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
}
SKIP_KNOWN = False
KNOWN = [
    "Straße", "ﬁx", "ΣΊΣΥΦΟΣ", "Äpfel", "Москва", "Caf\u00e9", "I", "ı", "İ", "ǅ", "ᾳ\u0313",
    "한글", "100%_\\", "e", "\u0301e",
]  # fmt: skip
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", categories=("L", "M", "N", "S")), min_size=1, max_size=6
)


@cache
def examples() -> list[str]:
    """Titles that are also tags; always the same ones."""
    found = dict.fromkeys(KNOWN)

    @settings(max_examples=25)
    @given(TEXTS)
    def collect(text: str) -> None:
        found[text] = None

    collect()
    return [*found]


def variants(text: str) -> set[str]:
    """Return other spellings of `text` by case and normalization, whether or not they are the same text."""
    cased = {text, text.upper(), text.lower(), text.title(), text.swapcase(), text.casefold()}
    return {unicodedata.normalize(form, one) for form in ("NFC", "NFD") for one in cased} | cased


@pytest.fixture(params=LOCALES)
async def connection(request, make_database):
    """A connection to a migrated database with that locale."""
    name = request.param
    try:
        url = await make_database(f"folding_{name[-3:].lower().replace('-', '')}", LOCALES[name])
    except asyncpg.PostgresError as error:
        if name != "ICU":
            raise
        pytest.skip(f"THE SERVER HAS NO ICU, so nothing was tried on an ICU locale; set TEST_DATABASE_URL: {error}")
    connection = await asyncpg.connect(url)
    database = SimpleNamespace(
        execute_script=connection.execute,
        execute_many=connection.executemany,
        execute_query_dict=lambda text, values: connection.fetch(text, *values),
    )
    for path in sorted((migrations.folder() / APP).glob("[0-9]*_*.py"), key=lambda path: int(path.name.split("_")[0])):
        await connection.execute(await runpy.run_path(str(path))["upgrade"](database))
    yield connection
    await connection.close()


async def create(connection: asyncpg.Connection, drafts: list[dict]) -> None:
    lines = json.dumps([{"uid": new_uid(), **draft} for draft in drafts]).encode()
    nothing = [None] * len(drafts)  # no list and no parent
    row = await connection.fetchrow(
        importing.IMPORT, "ada", None, None, 10_000, 10_000, 500, SKIP_KNOWN, b"[]", lines, nothing, nothing
    )
    assert row["imported"] == len(drafts)


@cache
def asked(query: str) -> tuple[str, tuple[object, ...]]:
    """Return the statement for a query string, and its arguments."""
    matching = listing.read(query).query
    return sent(lambda connection: Task.objects.for_user("ada", using=connection).matching(matching).page())


async def test_searches_find_what_python_folds_to_the_same_key_and_titles_sort_by_their_keys(server, connection):
    texts = examples()
    drafts = [
        schemas.read_draft(json.dumps({"title": f"-{text}-", "tags": [text], "description": text}).encode())
        for text in texts
    ]
    await create(connection, drafts)

    async def found(query: str) -> set[str]:
        text, arguments = asked(query)
        (document, *_) = await connection.fetchrow(text, *arguments)
        return {task["description"] for task in json.loads(document)}

    for spelled in sorted({variant for text in texts for variant in variants(text) if len(variant) < 50}):
        same = {text for text in texts if fold(text) == fold(spelled)}
        assert await found(f"tag={quote(spelled)}") == same, ascii(spelled)
        assert await found(f"q=-{quote(spelled)}-") == same, ascii(spelled)
        within = {text for text in texts if fold(spelled.strip()) in fold(text)}
        assert await found(f"q={quote(spelled)}") == within, ascii(spelled)

    text, arguments = asked("sort=title")
    (document, *_) = await connection.fetchrow(text, *arguments)
    keys = [fold(task["title"]) for task in json.loads(document)]
    assert keys == sorted(keys), "titles sort by their keys in code point order"
