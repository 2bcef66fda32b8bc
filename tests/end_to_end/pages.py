"""Read the snippets of a documentation page, run its shell commands, and compare what they print with what is shown."""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
MARK = "----- the exit code of the command above:"
SECONDS = 120  # for one page, on a busy machine
# Parts of an output that differ in each run. A pattern must match the page and the real output.
VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|\+00:00)"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d "), "<clock> "),
    (re.compile(r'("request_id": ?|X-Request-ID: )"?[^",\s]+"?'), r"\1<request>"),
    (re.compile(r'("(?:id|version)" ?: ?)\d+'), r"\1<number>"),
    (re.compile(r'("uid" ?: ?)"[0-9a-f-]{36}"'), r"\1<uid>"),
    (re.compile(r'("position" ?: ?)"[^"]+"'), r"\1<position>"),
    (re.compile(r"(/tasks/|/trash/)\d+"), r"\1<id>"),
    (re.compile(r"^(ETag: ).+$", re.MULTILINE), r"\1<tag>"),
    (re.compile(r"cursor=[\w-]+"), "cursor=<cursor>"),
    (re.compile(r"(r=|;t=|content-length: |Retry-After: |try again in |at version )\d+"), r"\1<number>"),
    (re.compile(r"PostgreSQL \d+\.\d+"), "PostgreSQL <version>"),
]  # fmt: skip


class Snippet(NamedTuple):
    """A fenced block of a page: its language (empty for none) and its text without the fence's indentation."""

    page: str
    language: str
    text: str


class Command(NamedTuple):
    """A command, and the output that the page shows for it; None if it shows none."""

    text: str
    shown: str | None


def snippets(page: Path) -> list[Snippet]:
    return [
        Snippet(page.name, language, textwrap.dedent(text))
        for _indent, language, text in FENCE.findall(page.read_text())
    ]


def commands(snippet: Snippet) -> Iterator[Command]:
    """Return the commands of a snippet: a whole `sh` block, or each line of a `console` block that begins with `$ `."""
    if snippet.language == "sh":
        yield Command(snippet.text, None)
        return
    for part in re.split(r"^\$ ", snippet.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        length = 1
        if document := re.search(r"<<'?(\w+)'?$", lines[0]):
            length = lines.index(document[1]) + 1
        while lines[length - 1].endswith("\\"):
            length += 1
        yield Command("\n".join(lines[:length]), "\n".join(lines[length:]))


def steady(text: str) -> str:
    """Replace each part of the text that differs from run to run with a word."""
    for pattern, word in VARYING:
        text = pattern.sub(word, text.replace("\r", ""))
    return text.strip()


def is_as_shown(shown: str, printed: str) -> bool:
    """Return whether `printed` matches the output in the page; an ellipsis in the page matches any text."""
    expected = ".*?".join(re.escape(part) for part in steady(shown).split("…"))
    return re.fullmatch(expected, steady(printed), re.DOTALL) is not None


async def run(listed: list[Command], cwd: Path, environment: Mapping[str, str]) -> list[str]:
    """Run the commands one after the other in one shell, and return what each printed to standard output.

    Raises AssertionError if a command exits with another code than 0, with all that was printed.
    """
    script = "".join(f"{command.text.rstrip()}\nprintf '\\n{MARK} %s\\n' $?\n" for command in listed)
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=cwd, env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    *printed, _rest = re.split(rf"^{MARK} \d+\n", stdout.decode(), flags=re.MULTILINE)
    codes = re.findall(rf"^{MARK} (\d+)$", stdout.decode(), re.MULTILINE)
    assert codes == ["0"] * len(listed), f"{stdout.decode()}\n{stderr.decode()}"
    return printed
