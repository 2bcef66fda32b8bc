"""Add lists, subtasks and manual order.

No row of `tasks` is rewritten: the new columns have no default, and `document` is dropped and added again, because the
stored JSON lacks the new members. The old release may run meanwhile. It calls functions whose arguments stay the same,
which are replaced, and the old `create_task`, `update_task` and `delete_tasks`, which stay. The last two call their
successors, so that the rules of subtasks and of archived lists hold.
"""

from pathlib import Path

from tortoise import BaseDBAsyncClient

from service.database.functions import replacing, sources

RUN_IN_TRANSACTION = True

REPLACED_LATER = Path(__file__).with_name("1_functions.sql")

# In an order in which they can be created: new ones, and those that replace a function with the same arguments. The new
# create_task, update_task, delete_tasks, import_tasks and import_once have more arguments than the old ones, which stay for
# the old release.
ADDED = (
    "position_of_id", "position_between", "positions_spread", "list_document", "task_id_of", "list_id_of", "find_task",
    "find_list", "rekey_tasks", "rekey_lists", "place_task", "place_list", "seat_task", "seat_new_task",
    "seat_list", "carry_family", "create_list", "update_list", "delete_list", "restore_list", "destroy_lists",
    "import_lists",
)  # fmt: skip
REPLACED = (
    "task_document", "create_task", "update_task", "complete_task", "delete_task", "delete_tasks", "restore_task",
    "destroy_tasks", "perform_batch", "perform_once", "import_tasks", "import_once",
    "erase_owner",
)  # fmt: skip

SCHEMA = """
ALTER TABLE users ADD COLUMN list_count integer NOT NULL DEFAULT 0,
                  ADD COLUMN has_subtasks boolean NOT NULL DEFAULT false;

CREATE TABLE lists (
    user_id    text         NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    id         bigint       NOT NULL,
    uid        uuid         NOT NULL,
    name       varchar(100) NOT NULL,
    color      varchar(7),
    position   varchar(100) COLLATE "C",
    archived   boolean      NOT NULL,
    created_at timestamptz  NOT NULL,
    updated_at timestamptz  NOT NULL,
    version    bigint       NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (user_id, id),
    CONSTRAINT lists_uid UNIQUE (user_id, uid)
);
CREATE INDEX lists_trash ON lists (user_id, deleted_at, id) WHERE deleted_at IS NOT NULL;

ALTER TABLE tasks ADD COLUMN list_id bigint, ADD COLUMN parent_id bigint,
                  ADD COLUMN position varchar(100) COLLATE "C";
-- An empty table has no stored JSON, and a dropped column would make each write dearer.
DO $$ BEGIN
    IF EXISTS (SELECT FROM tasks) THEN
        ALTER TABLE tasks DROP COLUMN document, ADD COLUMN document text;
    END IF;
END $$;

COMMENT ON COLUMN users.trash_count IS 'Tasks and lists in the trash, for the quota; each write updates it.';
COMMENT ON COLUMN users.list_count IS 'Live lists, for the quota; each write of a list updates it.';
COMMENT ON COLUMN users.has_subtasks IS 'Whether a task has ever had a subtask; without one, writes look for none.';
COMMENT ON TABLE lists IS 'The lists of all users; every key and index starts with the owner.';
COMMENT ON COLUMN lists.position IS 'The place among the owner''s lists; if null, position_of_id.';
COMMENT ON COLUMN lists.archived IS 'Whether lists of tasks and the summary leave the tasks of this list out.';
COMMENT ON COLUMN tasks.list_id IS 'The list; null for the inbox.';
COMMENT ON COLUMN tasks.parent_id IS 'The task that this is a subtask of; null at the top level.';
COMMENT ON COLUMN tasks.position IS 'The place among the tasks with the same list and parent; if null, position_of_id.';
COMMENT ON COLUMN tasks.document IS 'The task as JSON (task_document), for responses; built at read if null.';
"""

# For the old release.
UPDATE_TASK = """
CREATE OR REPLACE FUNCTION update_task(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[],
    title text, title_key text, sets_description boolean, description text, description_key text, completed boolean,
    priority smallint, tags text[], tag_keys text[], sets_due_date boolean, due_date text, sets_due_at boolean,
    due_at text,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT done.outcome, done.task_id, done.task_version, done.task_uid, done.document
    INTO outcome, task_id, task_version, task_uid, document
    FROM update_task(
        owner, owner_email, owner_name, id, expected, excluded, title, title_key, sets_description, description,
        description_key, completed, priority, tags, tag_keys, sets_due_date, due_date, sets_due_at, due_at,
        NULL) AS done;
END
$$;
"""
DELETE_TASKS = """
CREATE OR REPLACE FUNCTION delete_tasks(
    owner text, owner_email text, owner_name text, completion boolean, trash_quota integer,
    OUT wanted bigint, OUT deleted bigint
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT done.wanted, done.deleted INTO wanted, deleted
    FROM delete_tasks(owner, owner_email, owner_name, completion, trash_quota, NULL, NULL, NULL) AS done;
END
$$;
"""


async def upgrade(db: BaseDBAsyncClient) -> str:
    functions = ("position_of_id", "task_document", *ADDED[1:], *REPLACED[1:])
    return SCHEMA + replacing(sources(functions, replaced=REPLACED_LATER)) + UPDATE_TASK + DELETE_TASKS


async def downgrade(db: BaseDBAsyncClient) -> str:
    old = sources(REPLACED, replaced=Path(__file__).with_name("0_functions.sql"))
    return f"""
DROP FUNCTION {", ".join(reversed(ADDED))};
DROP FUNCTION create_task(text, text, text, integer, uuid, text, text, text, text, boolean, smallint, text[], text[],
                          text, text, boolean, text[]);
DROP FUNCTION update_task(text, text, text, bigint, bigint[], bigint[], text, text, boolean, text, text, boolean,
                          smallint, text[], text[], boolean, text, boolean, text, text[]);
DROP FUNCTION delete_tasks(text, text, text, boolean, integer, bigint[], uuid[], boolean);
DROP FUNCTION import_tasks(text, text, text, integer, integer, integer, boolean, bytea, bytea, text[], text[]);
DROP FUNCTION import_once(text, text, text, text, text, bytea, text, interval, integer, bigint, integer, integer,
                          integer, boolean, bytea, bytea, text[], text[]);
DROP TABLE lists;
ALTER TABLE tasks DROP COLUMN list_id, DROP COLUMN parent_id, DROP COLUMN position;
ALTER TABLE tasks DROP COLUMN document, ADD COLUMN document text;
ALTER TABLE users DROP COLUMN list_count, DROP COLUMN has_subtasks;
{replacing(old)}
"""


MODELS_STATE = (
    "eJztXW1z2zYS/isY3Yc6Mz6PIzuxL765GSlxEl380rPl61s6CkRCEmoSUEjQstrLf79dkJ"
    "BIilREvZmyNNNpLRBLgvtgsYtnl+hfFZ95D9xiB3fwR+UN+asiqMvgj+SFfVKh/X6sGVsU"
    "bTu6awCNvu7T9pVHLQWNHer4DJps5lse7ysuBXa9FoxgdyI7RPW4T8xjSBN/wT9CKrgS9d"
    "KPwL51phT8rgWqt08GPW71sK/sKCYIF4SCVA+u2xQkqM8OcDS2tGA4XHTX/eBA8K8BaynZ"
    "ZXgRHv/b79DMhc0emW9+9u9bHc4cO6F1buMNdHtLDfu67W2Peu91T3ypdsuSTuCKce/+UP"
    "WkGHWHd8bWLhPMo4rZMTBE4DgRaKYpHCs0KC9go0Ha4wabdWjgIKQoHY5g3FZpta6um63b"
    "82arVZmEG/Wp5D0TP4DCg/YfDOZGCpnorpYUOHe4UL5WiEsfWw4TXdWDn9VXr76FTx5rJu"
    "yGD/lv7ebtx9rNHvR6gXeXMAXDiXkVXaqG177pmwBS4W00EmPVM5dyp4j2RwJzARCpd6R/"
    "02UMwNiEFkCg40mXjGAIZz8jDvUVGXhcsXngOKoezgAH9MqFQ19DOMbq1/8toH3Tf9uUv0"
    "RbGCvf8hgqq0XVJATv4IriLsuGISmZAsOORA/MH/MsTCvCBpHocK8YFFM032xcnt82a5c/"
    "4p1c3//qaOXVmud4papbh6nWvdcpkEY3IT81mh8J/iS/Xl+da91KX3U9/cRxv+avFRwTDZ"
    "RsCTloUTuuINNsmhKYe+yB+6iMCcTrvNsQKhvvuFQKbVDSqvA9LAgutR+osJhP2kMiwfMP"
    "uOoRRsF5a7DPCHtg3pDAv/BdiCVd6Kutlc/qoLo49r//o1o9OjqpHh69Pn11fHLy6vTwFP"
    "rqF528dDJl+tQbHxpXzeRswIakneLoIfKYw06Tkhtmp+MV84wgLpZyhhB94drjA3AaXewX"
    "n5zbZcwd6XUlAlzMmhNi5TVnxFawAYNZYCCGWFz66Fhd2HOgifcoWDsDL+sxVz4wu8xmrK"
    "h/DygEIsOMc7FKCpUXLIc/AC4wWH+fwPzShvk1kIqexVZgEvRxrfGLrrfVl8cnx6dHr49H"
    "+IxapsGSAYFH/V5xDJJS5QVB6x92pzZxuK983KrqOBTHn4LlafSPwyqs/qRQebWvTUArfp"
    "oJwHaA6l5PbgywdrZge64nTYYDkdJhVGRDkhZNgdIG2VWhMmopgMygpykZUDyOWDsNDAXh"
    "DxvaohdZOHyoX19fJCKHeiPlE67uLuvnN3svdcgAnXAHkgkNFf6AeYUtJS1WXlsB7+0xUL"
    "4esA8OnXCbuX0JQYk1JPdsmLahpzGRSKHtIdhpsRgrLVleKFDFPv+TRUQFhFcGFXAfevyL"
    "QLHmGAu06bMMNnUaVGOZEoOkPXvQR0vRRLbZxFKPkfAFSDtQms6mjmPCYTJkpdvZIgveuY"
    "+RsdjQptb9gHp2K3ElGThkWWAk9v7TDXOoymYoDOd/AfcozxbXSMzqccatlZDJnNhbLKqf"
    "ZuQEn6N+Yt6lhd5lQVU1xrf7xIbPSWlojLIq88xz8pJbddMtVNCufiV8Nj4pYYFZ6UZjml"
    "PSjaMV4PvpxloYX6M/Q7PAZB8jfY+71NOxhdkXmfQd5va+7GEGsMXtfYhEXnw50x2a0lOS"
    "QwdX2szRcaMUzpB84faXyWTj+h675FTjNOeYmWyc0zGuLNkoBzCQH/wxTUTDpC7iAc06Ww"
    "HNZ0TosN9jgV9Gqig/SxlkwXZ313iXDVqQiVoAzQcoVJ71qkIJDgjAAsTAHMLHEepK0SVx"
    "ZLX1nxHuukG4Iiy6WQuTlSF5G6dltX6eMEdZNkeRTEO+PJwlBwy9ctOQ+loqDSkd6RVR8E"
    "igzFngv3let9tu46LvSNhOEQuW/HlSv9NWE6Pxk1x9n6S1DZOdq8wEYL7C4zJl1jmuGH2H"
    "WvEVJFo58G5vTDpBZ4DnwWIl8596Vo8/ZO5ap3FwcbEN4d9CVtoESATe7QGiIGgKf8tgRl"
    "DWQ8JtX3lE0e3Ds0iihjT8PDAnJXcwlxrmiDArtvuJCa2PG1zqJoj7ZhekyymsHhXdWcOQ"
    "J2FwYcfL5jPHpOQSzHGNUQuOCB2jfodwqwo3wtJjB0OYhy2sVIuIkSJxakzkGW6+llYDOs"
    "HAJ5U+qfH30mO8Kz6xodZ7AwaJhXZTCFLz/cCGKTyPFoVmjw5GdFp8osHLhwuPnpq127e1"
    "d+eVb/k5jZUSrJrCzyJYDbc/hWAdpRBmIVix8/p41RU/bUenzkanIgw7OnVT6VRMC2sbfy"
    "IaVXHlFOJRRwLP0ZfPRCRVpxBJ1UkiSSsM05uTWm6yx7zixrjQ+jRdqcyxMHWkYzOb6CGH"
    "RSk+QxpMlzz6sMwjAAsHyuc/NxMxstH53mXt5xeJOPni+uqD6R7D6O3FdX1iVzN+mQImkB"
    "IrMfc6f0JhRkZ1KqU6YQqxwRU1iAzREus9bhexK3HrKKdFWNLt6/16Qdo7IVdu3nsZPNsy"
    "+WyjuXkY7ZTsZrIr0Vuk+ZU+E/ZSPMemUSywm5IeVxnLI2xgzkXgTmz3k2nBmHh5SyevQH"
    "kg9VlcXP8EDuezuDx/17i7hBjss/jY+PDxDTkqtHc5qp68Hu1W8Me0/cntZe3iIutToG5G"
    "CVrN8+gw7zOgblYZsbPCksbKPzuBsFCLpB1wB2Ir/wCf96+CkdtSsg3gUn77fVKJObV80x"
    "U5EtpAZSbCYJgTS/fzE1q2A9bCVT3bY+SEUDGZaZ6iPF6CEotCUGpTPNRjqL8tlYHCD0bQ"
    "dfwpBX49/Gg5AcgRfD26eKoaXUCGsudIfIykNsctU9KXoCNN4sHAUto1k2O73LH+0K0oox"
    "gTmssHrzEMw6FGgZf5oISLtnwsH3UYC5Gox0RxVBJiZcdFfxSnOUMVnYo0+igOouYIMcMB"
    "yz5x2ANzSg3aFtW4+bztAALlLnHblVJthQPblVJtBczbW0oVZUB3pVQl3VXsSqkyDRbeNn"
    "BZ1lECU9IgMZmyx0M6UqU++fft9VXIiIDy+oAng7BI8y1owRBJ2IR39EPKmRPZlbztSt6e"
    "KDDZ2JK31KfYWcVvk19rTymDy/pS/PsVcU19Dp0PyIQH/OizfsxS1NdbGPgDAPdV9GGwKV"
    "uDcCJR1JYoYvNkgLeBCy8yCuPW9dAF6uMyc+/5q9lSy1BWUh9n4QF0eC6KZkMsh0cuspSH"
    "G2skizj9kUCZfUnFhWkobV3006eqF1Z5+vDOejLL8fnc+nU0nxU1RPOrfJ6/Le1hy+Zd5m"
    "cEaXUuwFKzEUsJpgsizPFDJUEOgepRv4frFTwIlh8EEd8hBBHx0+d6GsB0Z447sc7sRabT"
    "Nk6o+jh4gF29cVW7+SUbPdM/HpHXf2me11L4RctsweAtKVVqmwsPWtXDDaniAcTbfeaBs3"
    "EZOA34hbqwMaGDX3Qyz5Ph/x6gMAFZPZ2FgKye5hOQeC3rIK8iS+FYYgNwMTFAoh7eZJz3"
    "zdaonEsfnj02CUwuj2S6l55E0meqmSPU0gdC/hiuJ7f/udBFScFTngO5feR8gifCv6NTpo"
    "0LYo99DkZFqsekJwMPCT8VrgXbxRvt+IgdH7FuhW86H1FjHrd6lSweIrq0P5V/oONO32Md"
    "8nW65C/aFv6cLQJw3bv12a18KS41fyOemzHLX0jz82W7hTTn/2eDVlVAw1H3Z6jdFR3TJV"
    "RmDgm3FnlfDYxE0sEhtxT5H1llye3TJPPNPit/i5TeDaXiNrxBvdgxucv3Z9/+D+qd758="
)
