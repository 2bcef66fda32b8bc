"""The scripts of the how-tos run unchanged against the service.

tests/clients/test_typescript.py checks the types of the TypeScript, together with the types of the client.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.npm import NODE
from tests.end_to_end.pages import DOCS, snippets

ROOT = Path(__file__).parents[2]
PACKAGES = Path(__file__).with_name("snippets")
CLIENT = ROOT / "clients" / "typescript"
PAGES = ["connect-a-frontend.md", "keep-a-list-live.md", "use-better-auth-with-nextjs.md"]
# By page: the start of each script, in the order of the lines `// code` that they replace in its `snippets/` module.
RUN_AS_SCRIPT = {
    "avoid-lost-updates.md": ["async function save("],
    "come-from-a-fastapi-backend.md": ["const toYours = "],
    "connect-a-frontend.md": ["const task = await doable.tasks.create("],
    "keep-a-list-live.md": ["const replica = await doable.replica(", "const tasks = new Map("],
    "retry-safely.md": ["const draft = "],
    "send-many-writes-at-once.md": ["const results = await doable.batch("],
}
# One process runs all scripts, one after the other, each as another user. Each start of Node takes CPU time.
ALL = """
for (const [page, token] of Object.entries(JSON.parse(process.env.TOKENS))) {
  console.log(page);
  process.env.TOKEN = token;
  await import(`./${page.replace(".md", ".mjs")}`);
}
"""
NAMED = re.compile(r"^```tsx?\n// (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(not NODE, reason="LOUD: node is not installed, so the how-tos are NOT tested")


def write_project(folder: Path) -> None:
    """Write the named files of the how-tos to `folder`, as a project that uses the client."""
    for source in (*PACKAGES.glob("*.ts"), PACKAGES / "tsconfig.json"):
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(CLIENT / "node_modules")
    (folder / "doable-client").symlink_to(CLIENT / "src")
    written = set()
    for page in PAGES:
        for name, code in NAMED.findall((ROOT / "docs" / "how-to" / page).read_text()):
            file = folder / name
            assert name not in written or file.read_text() == code, f"{name} differs in {page}"
            file.write_text(code)
            written.add(name)
    assert written == {"board.tsx", "doable.ts", "live-list.tsx", "page.tsx", "sign-out.ts", "use-live-tasks.tsx"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder whose modules can import the client, without an installation."""
    made = tmp_path_factory.mktemp("scripts")
    (made / "node_modules").mkdir()
    (made / "node_modules" / "doable-client").symlink_to(CLIENT)
    return made


@pytest.mark.usefixtures("empty")
async def test_the_scripts_of_the_how_tos_do_what_the_pages_say(folder, launch, server, sign):
    for page, begins in RUN_AS_SCRIPT.items():
        module = PACKAGES / page.replace(".md", ".mjs")
        *parts, last = module.read_text().split("// code\n")
        found = snippets(DOCS / "how-to" / page)
        codes = [next(snippet.text for snippet in found if snippet.text.startswith(begin)) for begin in begins]
        (folder / module.name).write_text("".join(map(str.__add__, parts, codes)) + last)
    (folder / "all.mjs").write_text(ALL)
    tokens = {page: sign(page.removesuffix(".md")) for page in RUN_AS_SCRIPT}
    process = launch([NODE, "all.mjs"], cwd=folder, TOKENS=json.dumps(tokens), DOABLE_URL=server)
    assert await process.exit_code() == 0, process.stdout + process.stderr
    assert process.stdout == "".join(f"{page}\ndone\n" for page in RUN_AS_SCRIPT)
