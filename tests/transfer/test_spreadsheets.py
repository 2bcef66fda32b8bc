"""Tables of spreadsheets and people: many dialects with one meaning; an ambiguous table is refused with a solution."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.transfer.formats import lines, table

IMPORT, EXPORT = "/api/me/import", "/api/me/export"
CSV = {"Content-Type": "text/csv"}
DATA = Path(__file__).parent / "data"
WHEN = "2026-01-02T03:04:05.000006Z"


async def send(caller, content: str | bytes):
    return await caller.post(IMPORT, content=content, headers=CSV)


async def imported(caller, content: str | bytes) -> list[dict]:
    """Return the tasks of an import of `content`, in the order of its lines."""
    response = await send(caller, content)
    assert response.status_code == 200, response.text
    exported = (await caller.get(EXPORT)).json()["tasks"]
    assert response.json() == {"imported": len(exported), "skipped": 0}
    return exported


DIALECTS = [
    'title,due_date,tags,completed\nA,2026-12-24,"[""home"",""garden""]",true\nB,,,\n',
    'title,due_date,tags,completed\nA,2026-12-24,"home, garden",TRUE\nB\n',
    'title,due_date,tags,completed,,\nA,2026-12-24,"home,garden",TRUE,,\nB,,,,,,,\n',
    "title;due_date;tags;completed\nA;2026-12-24;home, garden;True\nB;;;\n",
    "title\tdue_date\ttags\tcompleted\nA\t2026-12-24\thome, garden\tTRUE\nB\t\t\t\n",
    "sep=;\ntitle;due_date;tags;completed\nA;2026-12-24;home, garden;TRUE\nB;;;\n",
    '\ufeffSEP=,\r\ntitle,due_date,tags,completed\r\nA,2026-12-24,"home, garden",TRUE\r\nB\r\n',
    "\ufeffsep=\t\r\ntitle\tdue_date\ttags\tcompleted\r\nA\t2026-12-24\thome, garden\tTRUE\r\nB\r\n",
    '"sep=;"\ntitle;due_date;tags;completed\nA;2026-12-24;home, garden;TRUE\nB\n',
    "sep=;;;;\ntitle;due_date;tags;completed\nA;2026-12-24;home, garden;TRUE\nB\n",
    'Title, Due Date ,TAGS,Completed\nA, 2026-12-24 ," home , garden ,", TRUE \nB,,,\n',
    'TITLE,DUE_DATE,Tags,completed\nA,2026-12-24,"home, garden",TRUE\nB\n',
    'title,due-date,tags,completed\nA,2026-12-24,"home, garden",TRUE\nB\n',
    'title,dueDate,tags,completed\nA,2026-12-24,"home, garden",TRUE\nB\n',
    'title,due\u00a0date,tags,completed\nA,2026-12-24,"home, garden",TRUE\nB\n',
    '\n,,,\n\ntitle,due_date,tags,completed\n\n,,,\nA,2026-12-24,"home, garden",TRUE\n , ,,\nB\n,,,,,,\n\n\n',
    'title,due_date,,tags,completed\nA,2026-12-24,,"home, garden",TRUE\nB\n',
    'title,due_date,tags,completed\rA,2026-12-24,"home, garden",TRUE\rB\r',
    'title,due_date,tags,completed\r\nA,2026-12-24,"home, garden",TRUE\r\nB',
    "title;due_date;tags;completed\nA;2026-12-24;home, garden;TRUE\nB\n".encode("utf-16"),
    "\ufefftitle\tdue_date\ttags\tcompleted\r\nA\t2026-12-24\thome, garden\tTRUE\r\nB\r\n".encode("utf-16-be"),
]  # fmt: skip


async def test_a_table_in_every_csv_dialect_of_spreadsheets_gives_the_same_tasks(alice, subtests):
    first, second = await imported(alice, DIALECTS[0])
    assert (first["title"], first["due_date"], first["tags"]) == ("A", "2026-12-24", ["home", "garden"])
    assert first["completed"] is True
    assert (second["title"], second["due_date"], second["tags"], second["completed"]) == ("B", None, [], False)
    same = await read(DIALECTS[0])
    for content in DIALECTS[1:]:
        with subtests.test(content=content):
            assert await read(content) == same


async def read(content: str | bytes) -> list[dict]:
    """Return the tasks that an import of `content` sends to the database, without their random uids."""
    file = await lines.validate(table.read(content.encode() if isinstance(content, str) else content))
    return [{**task, "uid": ""} for task in json.loads(file.tasks)]


async def test_tags_are_a_json_array_or_separated_by_commas(alice):
    cells = {
        "home": ["home"], '"home, garden"': ["home", "garden"], '"a,,b,"': ["a", "b"], "7": ["7"],
        '"[""a, b"",""c""]"': ["a, b", "c"], "[]": [], "'=a": ["=a"], "a;b": ["a;b"], '", ,"': [],
    }  # fmt: skip
    tasks = await imported(alice, "title,tags\n" + "".join(f"A,{cell}\n" for cell in cells))
    assert dict(zip(cells, [task["tags"] for task in tasks], strict=True)) == cells


async def test_the_error_for_an_unreadable_table_says_what_to_do(alice, refusal, subtests):
    for content, fields, message in [
        (
            "title,due_date\nA,24.12.2026\nB,12/24/26\n",
            ["line 2: due_date", "line 3: due_date"],
            "format the column as YYYY-MM-DD",
        ),
        ("title,due_at\nA,24.12.2026 18:00\n", ["line 2: due_at"], "or as text"),
        ("title,created_at\nA,12/24/26 6:00 PM\n", ["line 2: created_at"], "or as text"),
        ("title,completed\nA,WAHR\n", ["line 2: completed"], "write TRUE or FALSE"),
        ("title,due_date\nA,2026-12-24,x\n", ["line 2"], "has text in cell 3, which has no name in the header"),
        ("title,,due_date\nA,x\n", ["line 2"], "has text in cell 2, which has no name in the header"),
        ("title,tags\nA,[home\n", ["line 2: tags"], "a list of at most 20 tags"),
        ("title,Due Date,due_date\n", ["line 1"], "names the column due_date twice"),
        ("title,titles\n", ["line 1"], "'titles' is not a column; the columns are id, uid, title"),
        ("sep=|\ntitle|due_date\n", ["line 1"], "must name a comma, a semicolon or a tab as the delimiter"),
        ("sep=;\ntitle;due\n", ["line 2"], "'due' is not a column"),
        ("\n\n", ["line 1"], "must be a header"),
        ("due_date\n2026-12-24\n", ["line 1"], "must name the column title"),
        ("title,due_date\n,2026-12-24\n", ["line 2: title"], "1 to 200 characters"),
        ('title\n\nA\n"B\nC', ["line 4"], "put text with quotes or line ends in quotes"),
    ]:
        with subtests.test(content=content, fields=fields, message=message):
            body = refusal(await send(alice, content), 422, "validation_error", *fields)
            assert all(message in error["message"] for error in body["errors"])
            assert (await alice.get(EXPORT)).json()["tasks"] == []


async def test_the_error_for_another_encoding_says_how_to_save_the_table(alice, refusal, subtests):
    for content in [
        "title\nÄpfel\n".encode("cp1252"),
        "title\nA\n".encode("utf-32"),
        "title\nA\n".encode("utf-32-be"),
        "title\nA\n".encode("utf-16-le"),
        "title\nA\n".encode("utf-16") + b"\0",
        b"title\n" + b"A\n" * 5_000 + b"\xff",
    ]:
        with subtests.test(content=content[:20]):
            assert "CSV UTF-8" in refusal(await send(alice, content), 400, "malformed_json")["detail"]
            assert (await alice.get(EXPORT)).json()["tasks"] == []


# The output of libreoffice-calc 7.4 for the export of the tasks below: opened, and saved with another delimiter.
SAVED = ["libreoffice-comma.csv", "libreoffice-semicolon.csv", "libreoffice-utf-16-tab.csv"]


@pytest.mark.parametrize("name", SAVED)
async def test_an_export_that_libreoffice_opened_and_saved_imports_again(alice, name):
    tasks = await imported(alice, (DATA / name).read_bytes())
    told = [(task["title"], task["description"], task["tags"], task["priority"], task["due_date"]) for task in tasks]
    assert told == [
        ("=1+1", '\'=and\nmore, "quoted"', ["a, b", "'=c"], "none", "2026-12-24"),
        ("'@x 🌱", None, [], "high", None),
        ("'twas\ttabbed", "-", [], "none", None),
        ("Äpfel; Öl", "two\nlines", [], "none", None),
        ("Plain", None, ["home", "garden"], "none", None),
        ("Gone", None, [], "none", None),
    ]
    assert tasks[1]["due_at"] == "2026-12-24T17:00:00.123456Z"
    assert (tasks[1]["completed"], tasks[1]["completed_at"]) == (True, "2026-01-03T03:04:05.500000Z")
    assert {task["created_at"] for task in tasks} == {WHEN}
    assert [task["title"] for task in tasks if task.get("deleted_at")] == ["Gone"]


async def test_excel_can_ask_for_a_byte_order_mark_and_the_import_skips_it(alice, bob):
    await alice.make("Äpfel")
    plain = await alice.get(EXPORT, params={"format": "csv"})
    marked = await alice.get(EXPORT, params={"format": "csv", "bom": "1"})
    assert marked.status_code == 200
    assert marked.content == b"\xef\xbb\xbf" + plain.content
    assert marked.headers["content-type"] == "text/csv; charset=utf-8"
    assert marked.headers["content-disposition"] == plain.headers["content-disposition"]
    assert (await alice.get(EXPORT, params={"format": "csv", "bom": "0"})).content == plain.content
    assert (await alice.get(EXPORT, params={"bom": "1"}, headers={"Accept": "text/csv"})).content == marked.content
    assert [task["title"] for task in await imported(bob, marked.content)] == ["Äpfel"]


@pytest.mark.parametrize("query", ["bom=1", "bom=1&format=json", "bom=1&format=ical", "bom=yes&format=csv"])
async def test_a_byte_order_mark_in_another_format_is_refused(alice, refusal, query):
    refusal(await alice.get(f"{EXPORT}?{query}"), 422, "validation_error", "bom")


@pytest.mark.parametrize(("form", "extension"), [("json", "json"), ("csv", "csv"), ("ical", "ics")])
async def test_each_format_is_an_attachment_with_its_own_file_name(alice, form, extension):
    response = await alice.get(EXPORT, params={"format": form})
    assert response.headers["content-disposition"].startswith('attachment; filename="doable-tasks-20')
    assert response.headers["content-disposition"].endswith(f'.{extension}"')


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).map(str.strip)
VISIBLE = WORDS.map(lambda text: f"{text}x")  # a title or tag of invisible characters alone is blank
TASKS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.just(1), "uid": st.uuids().map(str), "title": VISIBLE,
            "description": WORDS.map(lambda text: text or None),
            "completed": st.booleans(), "completed_at": st.none(), "priority": st.sampled_from(["none", "high"]),
            "tags": st.lists(VISIBLE, max_size=3, unique_by=str.casefold),
            "due_date": st.sampled_from([None, "2026-12-24"]),
            "due_at": st.none(), "list": st.sampled_from([None, "Home", "=1+1"]), "parent_id": st.none(),
            "position": st.sampled_from(["a0", "Zz"]), "created_at": st.just(WHEN),
            "updated_at": st.just(WHEN), "version": st.just(1),
            "deleted_at": st.sampled_from([None, WHEN]), "repeat": st.none(), "series": st.none(),
            "series_start": st.none(), "occurrence": st.none(), "occurrence_number": st.none(), "next_due": st.none(),
        }
    ),
    max_size=4, unique_by=lambda task: task["uid"],
)  # fmt: skip


@st.composite
def saved(draw: st.DrawFn, exported: str) -> bytes:
    """Return `exported` as another program may save it: with the same cells, in another dialect."""
    rows = list(csv.reader(io.StringIO(exported, newline="")))
    if draw(st.booleans()):
        rows = [row[: max(place for place, cell in enumerate(row, 1) if cell)] for row in rows]
    rows = [[*row, *[""] * draw(st.integers(0, 2))] for row in rows]
    for place in draw(st.lists(st.integers(0, len(rows)), max_size=3)):
        rows.insert(place, [""] * draw(st.integers(1, 3)))
    written = io.StringIO(newline="")
    delimiter, end = draw(st.sampled_from(",;\t")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    plain = not any(
        set("\r\n") & set(cell) for row in rows for cell in row
    )  # Python quotes only the line end that it writes
    quoting = draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL][: 1 + plain]))
    csv.writer(written, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    text = draw(st.sampled_from(["", f"sep={delimiter}{end}"])) + written.getvalue()
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))


@given(tasks=TASKS, data=st.data())
@settings(max_examples=50)
async def test_an_export_saved_in_any_csv_dialect_can_be_imported(tasks, data):
    exported = table.rows([table.COLUMNS, *([table._cell(task[name]) for name in table.COLUMNS] for task in tasks)])
    content = data.draw(saved(exported.decode()))
    read, same = await lines.validate(table.read(content)), await lines.validate(table.read(exported))
    for some, others in ((read.tasks, same.tasks), (read.lists, same.lists)):
        assert [{**one, "uid": ""} for one in json.loads(some)] == [{**one, "uid": ""} for one in json.loads(others)]
    assert read.references.lists == same.references.lists
    assert [task["named"] for task in json.loads(read.tasks)] == [task["uid"] for task in tasks]


async def test_priorities_are_read_in_any_case(alice):
    tasks = await imported(alice, "Title,Priority\nA,High\nB,LOW\nC, medium \nD,\n")
    assert [task["priority"] for task in tasks] == ["high", "low", "medium", "none"]


async def test_the_columns_user_id_and_version_are_ignored_and_an_id_counts_within_the_file(alice, bob):
    theirs = await bob.make()
    content = f"id,UID,user_id,version,title\n{theirs['id']},{theirs['uid']},bob,9,A\nno id,,=x,-1,B\n"
    tasks = await imported(alice, content)
    assert [(task["title"], task["user_id"]) for task in tasks] == [("A", "alice"), ("B", "alice")]
    assert tasks[0]["uid"] == theirs["uid"] != tasks[1]["uid"]
