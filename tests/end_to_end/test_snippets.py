"""The code of the how-tos, unchanged: written to files, type-checked, and run against the service."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from tests.end_to_end.npm import NODE, NPM, install
from tests.end_to_end.pages import DOCS, snippets

ROOT = Path(__file__).parents[2]
PACKAGES = Path(__file__).with_name("snippets")
PAGES = ["connect-a-frontend.md", "keep-a-list-live.md", "retry-safely.md"]
# By page: the start of each script, in the order of the lines `// code` that they replace in its `snippets/` module.
RUN_AS_SCRIPT = {
    "avoid-lost-updates.md": ["async function save("],
    "come-from-a-fastapi-backend.md": ["const toYours = "],
    "connect-a-frontend.md": ["const response = await doableFetch(", "async function* pages("],
    "retry-safely.md": ["const response = await persist("],
    "send-many-writes-at-once.md": ["async function batch("],
    "use-better-auth-with-nextjs.md": ["const { data } = await authClient.token()"],
}
NAMED = re.compile(r"^```tsx?\n// (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECONDS = 300  # for the compiler, on a busy machine

pytestmark = pytest.mark.skipif(not (NODE and NPM), reason="LOUD: node is not installed, so the how-tos are NOT tested")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The compiled files of the how-tos. The parts of a file are joined in their order."""
    install(PACKAGES)
    folder = tmp_path_factory.mktemp("snippets")
    for source in (*PACKAGES.glob("*.ts"), *PACKAGES.glob("*.json"), ROOT / "examples" / "better-auth" / "client.mjs"):
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(PACKAGES / "node_modules")
    parts = defaultdict(list)
    for page in PAGES:
        for name, code in NAMED.findall((ROOT / "docs" / "how-to" / page).read_text()):
            parts[name].append(code)
    assert set(parts) == {
        "doable.ts", "live.ts", "persist.ts", "sync.ts", "use-live-tasks.tsx", "use-live-tasks-with-swr.tsx",
    }  # fmt: skip
    for name, codes in parts.items():
        (folder / name).write_text("".join(codes))
    command = [NODE, "node_modules/typescript/bin/tsc", "--project", "."]
    done = subprocess.run(command, cwd=folder, timeout=SECONDS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for compiled in (folder / "built").glob("*.js"):  # Node requires the file extensions that bundlers add
        compiled.write_text(re.sub(r'from "(\./[\w-]+)"', r'from "\1.js"', compiled.read_text()))
    (folder / "built" / "node_modules").symlink_to(PACKAGES / "node_modules")
    (folder / "built" / "package.json").write_text('{"type": "module"}')
    return folder / "built"


@pytest.mark.parametrize("page", RUN_AS_SCRIPT)
@pytest.mark.usefixtures("empty")
async def test_a_script_of_a_how_to_does_what_the_page_says(built, launch, server, sign, page):
    module = PACKAGES / page.replace(".md", ".mjs")
    *parts, last = module.read_text().split("// code\n")
    codes = [
        next(snippet.text for snippet in snippets(DOCS / "how-to" / page) if snippet.text.startswith(begins))
        for begins in RUN_AS_SCRIPT[page]
    ]
    (built / module.name).write_text("".join(map(str.__add__, parts, codes)) + last)
    process = launch([NODE, module.name], cwd=built, TOKEN=sign("alice"), NEXT_PUBLIC_DOABLE_URL=server)
    assert await process.exit_code() == 0, process.stderr
    assert process.stdout == "done\n"


async def test_the_code_of_the_how_tos_follows_changes_and_survives_a_failing_token(built, launch, server, alice, sign):
    process = launch([NODE, "follow.js"], cwd=built, TOKEN=sign("alice"), NEXT_PUBLIC_DOABLE_URL=server)
    assert await process.exit_code() == 0, process.stderr
    assert process.stdout == "followed\n"


async def test_a_signed_out_user_is_asked_to_sign_in_and_nothing_is_retried(built, launch, server):
    process = launch([NODE, "signed-out.js"], cwd=built, NEXT_PUBLIC_DOABLE_URL=server)
    assert await process.exit_code() == 0, process.stderr
    assert process.stdout == "ended\n"
