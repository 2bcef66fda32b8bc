"""Order keys: the database functions compute the keys of the npm package fractional-indexing, byte for byte."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest

from service.database.functions import source
from service.web.positions import LONGEST, SMALLEST, is_position
from tests.end_to_end.npm import NODE, NPM, install
from tests.tasks.keys import DIGITS, key_of, key_of_id
from tests.tasks.keys import between as key_between

PACKAGE = Path(__file__).with_name("fractional_indexing")
SECONDS = 120  # for node, on a busy machine
FUNCTIONS = ["position_between", "position_of_id", "positions_spread"]
LOCALE = "LOCALE_PROVIDER icu ICU_LOCALE 'en' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"  # sorts a before B
BEFORE_THE_FIRST = "A" + 25 * "0" + "1"  # the integer after the smallest one
LAST = 27 * "z"  # the greatest integer
# Ids on both sides of the change of length, of borrows between hexadecimal digits, and of all lengths.
INSERTS = 300
IDS = sorted(
    {
        id_ + step
        for power in range(16)
        for id_ in (16**power, 5 * 16**power, 10 * 16**power, 0x100000 - 16**power)
        for step in (-INSERTS, -16, -1, 0, 1, 15)
        if 0 < id_ + step < 2**63 - INSERTS
    }
    | {random.Random(7).randrange(1, 2**bits) for bits in range(2, 63)}
    | {0x100000 - INSERTS // 2, 2**63 - 1 - INSERTS}
)
NUMBERS = [0, 1, 2, 61, 62, 63, 3906, 3907, 5000]
# Integers on both sides of changes of the length and of the first digit.
LARGE = [*range(242_200, 242_260), *range(480_540, 480_580)]
# Texts that the package accepts as keys, although they have characters other than its digits.
NOT_DIGITS = [
    "a!", "a€", "aé", "a٣", "a-", "a0 ", "a0\n", "a0\0", "a0!", "a0é", "a0١", "b0_", "Z😀", "Zz\u200b", "a\u212a",
]  # fmt: skip

pytestmark = pytest.mark.skipif(
    not (NODE and NPM), reason="LOUD: node is not installed, so order keys are NOT compared with those of frontends"
)


def sequences(chance: random.Random) -> list[list[int]]:
    """Return places for inserts. The list has as many keys as there were inserts, so a place is 0 to that number."""

    def next_to_the_last_insert(length: int) -> list[int]:
        places = [0]
        while len(places) < length:
            places.append(places[-1] + chance.randrange(2))
        return places

    return [
        [0] * 4_000,  # always first
        [*range(4_000)],  # always last
        [0, 1, *[1] * 480],  # always after the first of two
        [0, 1, *range(1, 480)],  # always before the second of two
        *([chance.randrange(number + 1) for number in range(100)] for _ in range(10)),
        *(next_to_the_last_insert(300) for _ in range(5)),
    ]


def some_key(chance: random.Random) -> str:
    """Return a random key. Often it is of an unusual length, and has many digits 0 and z."""
    letter = chance.choice(["a", "Z", "b", "Y", "A", "z", chance.choice(DIGITS[10:])])
    length = ord(letter) - 96 if letter >= "a" else 91 - ord(letter)
    digits = chance.choice([DIGITS, "0z", "01yz", "0", "z", "0V"])
    fraction = "".join(chance.choices(digits, k=chance.choice([0, 0, 1, 2, 3, 12]))).rstrip("0")
    key = letter + "".join(chance.choices(digits, k=length)) + fraction
    return key if key != SMALLEST else BEFORE_THE_FIRST


def neighbour(chance: random.Random, key: str) -> str:
    """Return a key that shares its first characters with `key`."""
    found = ""
    while not is_position(found):
        kept = key[: chance.randrange(1, len(key) + 1)]
        found = kept + "".join(chance.choices(chance.choice([DIGITS, "01z"]), k=chance.randrange(28)))
    return found


def pairs(chance: random.Random) -> list[tuple[str | None, str | None]]:
    """Return random pairs of keys in ascending order, and pairs with open ends."""
    found = [(None, None), (LAST, None), (LAST, LAST + "V"), (None, SMALLEST + "V")]
    for _ in range(1_000):
        one = some_key(chance)
        other = chance.choice([some_key, lambda _, one=one: neighbour(chance, one)])(chance)
        found += [(None, one), (one, None), (min(one, other), max(one, other))]
    return [pair for pair in found if pair[0] != pair[1] or pair == (None, None)]


def mutations(chance: random.Random) -> list[str]:
    """Return keys, and the same texts with one mistake, all of them of digits."""
    found = ["", "0", "a", "Z", "a0", "a00", "Zz0", "00", "9z", "z" * 26]
    found += [SMALLEST, SMALLEST + "0", SMALLEST + "V", LAST]
    for _ in range(700):
        key = some_key(chance)
        place = chance.randrange(len(key))
        digit = chance.choice(DIGITS)
        found += [
            key, key[:place], key[:place] + key[place + 1 :], key[:place] + digit + key[place:],
            key[:place] + digit + key[place + 1 :], key + "0", key.swapcase(), digit + key[1:],
        ]  # fmt: skip
    return found


@pytest.fixture(scope="module")
def package() -> SimpleNamespace:
    """The answers of both versions of the package. From valid keys in ascending order, both compute the same keys."""
    chance = random.Random(62)
    asked = {
        "pairs": pairs(chance),
        "large": [(key_of(integer - 1), None) for integer in LARGE],
        "texts": [(text, None) for text in mutations(chance)],
        "lenient": [(text, None) for text in NOT_DIGITS],
        "smallest": [(None, BEFORE_THE_FIRST), (None, SMALLEST)],
        "unordered": [("a1", "a0"), ("a0", "a0")],
        "long": [(LONGEST * "z", None)],
    }
    install(PACKAGE)
    wanted = {
        "inserts": sequences(chance), "between": [pair for several in asked.values() for pair in several],
        "first": [(key_of_id(id_), INSERTS) for id_ in IDS], "spread": NUMBERS,
    }  # fmt: skip
    done = subprocess.run(
        [NODE, "keys.mjs"],
        cwd=PACKAGE,
        input=json.dumps(wanted).encode(),
        timeout=SECONDS,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    answers = []
    for computed in json.loads(done.stdout):
        keys = iter(computed["between"])
        between = {name: [(*pair, next(keys)) for pair in several] for name, several in asked.items()}
        inserts = [[tuple(insert) for insert in one] for one in computed["inserts"]]
        rest = {name: computed[name] for name in ("first", "spread")}
        answers.append(SimpleNamespace(**between, inserts=inserts, **rest))
    four, three = answers
    assert all(getattr(four, name) == getattr(three, name) for name in ("inserts", "pairs", "large", "first", "spread"))
    return SimpleNamespace(four=four, three=three)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Yield a connection to an empty database. The functions exist only in its transaction, which is rolled back."""
    connection = await asyncpg.connect(url)
    try:
        await connection.transaction().start()
        for name in FUNCTIONS:
            await connection.execute(source(name))
        yield connection
    finally:
        await connection.close()


@pytest.fixture(scope="module")
async def connection(make_database):
    """A connection to a database with the functions."""
    async with connected(await make_database("positions")) as made:
        yield made


async def between(connection, triples: list[tuple[str | None, str | None, str]]) -> list[str]:
    """Return the keys between the first two keys of each triple."""
    lows, highs, _ = map(list, zip(*triples, strict=True))
    rows = await connection.fetch(
        "SELECT position_between(low, high) "
        "FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS pair (low, high, place) ORDER BY place",
        lows,
        highs,
    )
    return [key for (key,) in rows]


async def test_inserts_anywhere_in_a_list_give_the_keys_of_the_package(connection, package):
    triples = [insert for one in package.four.inserts for insert in one]
    assert len(triples) > 11_000
    assert await between(connection, triples) == [key for _, _, key in triples]


async def test_a_key_between_any_two_keys_is_that_of_the_package(connection, package):
    triples = [one for one in package.four.pairs if one[:2] != (None, BEFORE_THE_FIRST)]
    assert len(triples) > 2_800
    assert await between(connection, triples) == [key for _, _, key in triples]


def test_the_keys_of_the_model_are_those_of_the_package(package):
    triples = [*package.four.pairs, *(insert for one in package.four.inserts for insert in one)]
    for low, high, key in triples:
        if (low, high) != (None, BEFORE_THE_FIRST):
            assert key_between(low, high) == key, (low, high)


async def test_keys_are_compared_by_byte_in_a_database_of_any_locale(make_database, package):
    try:
        url = await make_database("positions_icu", LOCALE)
    except asyncpg.PostgresError as error:
        pytest.skip(f"THE SERVER HAS NO ICU, so nothing was tried on an ICU locale; set TEST_DATABASE_URL: {error}")
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT 'a' < 'B'")
        triples = [one for one in package.four.pairs if one[:2] != (None, BEFORE_THE_FIRST)]
        assert await between(connection, triples) == [key for _, _, key in triples]


def test_a_key_is_valid_and_between_its_neighbours(package):
    triples = [*package.four.pairs, *(insert for one in package.four.inserts for insert in one)]
    for low, high, key in triples:
        assert low is None or low < key
        assert high is None or key < high
        assert is_position(key) or (low, high) == (None, BEFORE_THE_FIRST), key
    assert max(len(key) for _, _, key in triples) > 90


async def test_before_the_first_integer_there_is_a_valid_key_unlike_in_the_package(connection, package):
    for version in (package.four, package.three):
        answers = [answer for _, _, answer in version.smallest]
        assert answers == [SMALLEST, {"refused": f"invalid order key: {SMALLEST}"}]
    assert await between(connection, [(None, BEFORE_THE_FIRST, "")]) == [f"{SMALLEST}V"]
    assert is_position(f"{SMALLEST}V")


async def test_invalid_keys_and_keys_in_the_wrong_order_raise_an_error(connection, subtests):
    for low, high, message in [
        ("a1", "a0", "no order key lies between 'a1' and 'a0'"),
        ("a0", "a0", "no order key lies between 'a0' and 'a0'"),
        ("a0", "Zz", "no order key lies between 'a0' and 'Zz'"),
        ("", None, "no order key lies between '' and the end"),
        ("a", None, "no order key lies between 'a' and the end"),
        ("a00", "a1", "no order key lies between 'a00' and 'a1'"),
        ("00", None, "no order key lies between '00' and the end"),
        ("b0", None, "no order key lies between 'b0' and the end"),
        ("a!", None, "no order key lies between 'a!' and the end"),
        ("a0é", None, "no order key lies between 'a0é' and the end"),
        ("a0\n", None, "no order key lies between 'a0\n' and the end"),
        (SMALLEST, None, f"no order key lies between '{SMALLEST}' and the end"),
        (None, SMALLEST, f"no order key lies between the start and '{SMALLEST}'"),
        (None, "a00", "no order key lies between the start and 'a00'"),
        (None, "b0", "no order key lies between the start and 'b0'"),
        ("Zz", "a'", "no order key lies between 'Zz' and 'a'''"),
    ]:
        with subtests.test(low=low, high=high, message=message):
            with pytest.raises(asyncpg.InvalidParameterValueError) as raised:
                async with connection.transaction():
                    await connection.fetchval("SELECT position_between($1, $2)", low, high)
            assert raised.value.message == message


def test_only_version_4_of_the_package_exchanges_keys_in_the_wrong_order(package):
    unordered, equal = (answer for _, _, answer in package.four.unordered)
    assert (unordered, [*equal]) == ("a0V", ["refused"])
    assert all("refused" in answer for _, _, answer in package.three.unordered)


async def test_the_key_of_an_id_is_valid_and_sorts_before_the_keys_of_smaller_ids(connection):
    ids = sorted({id_ + step for id_ in IDS for step in range(3)})
    rows = await connection.fetch("SELECT position_of_id(id) FROM unnest($1::bigint[]) AS id ORDER BY id", ids)
    keys = [key for (key,) in rows]
    assert keys == [key_of_id(id_) for id_ in ids]
    assert all(map(is_position, keys))
    assert keys == sorted(keys, reverse=True)
    assert max(keys) < "a0", "the first key of a spread"


async def test_a_new_task_sorts_before_any_number_of_inserts_at_the_start(connection, package):
    rows = await connection.fetch(
        "SELECT array_agg(position_of_id(id + step) ORDER BY step) "
        "FROM unnest($1::bigint[]) AS id, generate_series(1, $2) AS step GROUP BY id ORDER BY id",
        IDS,
        INSERTS,
    )
    for id_, (new,), inserted in zip(IDS, rows, package.four.first, strict=True):
        assert len(new) == len(inserted) == INSERTS
        assert key_of_id(id_) > inserted[0]
        # Each insert is a write, so the id of the next new task is greater by one more than their number.
        assert all(one < other for one, other in zip(new[1:], inserted[:-1], strict=True)), id_


async def test_the_function_from_an_id_to_its_key_is_inlined(connection):
    rows = await connection.fetch("EXPLAIN VERBOSE SELECT position_of_id(id) FROM generate_series(1, 9::bigint) AS id")
    plan = "\n".join(line for (line,) in rows)
    assert "to_hex" in plan
    assert "position_of_id" not in plan


async def test_a_spread_has_the_keys_of_the_package(connection, package):
    for number, keys in zip(NUMBERS, package.four.spread, strict=True):
        assert await connection.fetchval("SELECT positions_spread($1)", number) == keys
    places = [integer + 1 for integer in LARGE]
    rows = await connection.fetch(
        "SELECT keys[place] FROM positions_spread($1) AS keys, unnest($2::integer[]) AS place", max(places), places
    )
    assert [key for (key,) in rows] == [key for _, _, key in package.four.large]
    assert await connection.fetchval("SELECT positions_spread(-1)") == []


def test_a_key_of_digits_is_valid_if_the_package_accepts_it(package):
    for version in (package.four, package.three):
        judged = {text: isinstance(answer, str) for text, _, answer in version.texts}
        assert {text: is_position(text) for text in judged} == judged
        assert 1_000 < sum(judged.values()) < len(judged) - 1_000


def test_a_key_with_other_characters_is_refused_though_the_package_accepts_it(package):
    for version in (package.four, package.three):
        assert [text for text, _, answer in version.lenient if isinstance(answer, str)] == NOT_DIGITS
    assert not any(map(is_position, NOT_DIGITS))


def test_a_key_has_at_most_100_characters(package):
    ((_, _, longer),) = package.four.long
    assert len(longer) > LONGEST
    assert is_position(LONGEST * "z")
    assert not is_position(longer)
