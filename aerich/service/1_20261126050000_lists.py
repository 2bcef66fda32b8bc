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
    "position_of_id", "position_between", "positions_spread", "positions_apart", "list_document", "task_id_of",
    "list_id_of", "find_task", "find_list", "rekey_tasks", "rekey_lists", "place_task", "place_list", "seat_task",
    "seat_new_task", "seat_list", "carry_family", "create_list", "update_list", "delete_list", "restore_list", "destroy_lists",
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
                  ADD COLUMN position varchar(100) COLLATE "C", ADD COLUMN followed_at timestamptz;
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
COMMENT ON COLUMN tasks.followed_at IS 'updated_at, if the task has only followed its list, parent or siblings.';
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
ALTER TABLE tasks DROP COLUMN list_id, DROP COLUMN parent_id, DROP COLUMN position, DROP COLUMN followed_at;
ALTER TABLE tasks DROP COLUMN document, ADD COLUMN document text;
ALTER TABLE users DROP COLUMN list_count, DROP COLUMN has_subtasks;
{replacing(old)}
"""


MODELS_STATE = (
    "eJztXW1z2zYS/isY3YcmM75MIiexL765GSlxEl380ouV61s6CkRCEmqSUEDQstrLf79dkO"
    "CbSEWUJZmyNNNpLRBLgvtgsYtnl+hfDZ/JG26xJ5/gj8Yr8lfDoy6DP7IXDkiDjsepZmxR"
    "tO/orgE0+rpP31eSWgoaB9TxGTTZzLckHysuPOx66TGC3YkYEDXiPjGPIV38Bf94QsGVqJ"
    "d+BPZtM6XgdytQowMyGXFrhH3FQDGPcI9QkBrBdZuCBPXZExyNLSwYDveGm35w4PGvAesp"
    "MWR4ER7/2+/QzD2b3TLf/Bxf9wacOXZG69zGG+j2npqOddvrEZVvdU98qX7PEk7geknv8V"
    "SNhBd3h3fG1iHzmKSK2SkwvMBxItBMUzhWaFAyYPEg7aTBZgMaOAgpSocjSNoavd7FZbd3"
    "ddrt9RqzcKM+lbhm3g+g8KD/B4O5kUMmuqslPJw73FO+VohLb3sO84ZqBD+bL158C5+caC"
    "bshg/5b+vj6/etj4+g12O8u4ApGE7Mi+hSM7z2Td8EkApvo5FIVM9cyp0q2o8FlgIgUm+s"
    "f9MlASAxoTsgMJDCJTEM4exnxKG+IhPJFVsGjsPm0wXggF6lcOhrCEeifv3fCto3/XdN+S"
    "u0hUT5lmSorB5VsxC8gSuKu6wYhqxkDgw7En1i/lhmYVoTNojEgMtqUMzRfLdzfnrVbZ3/"
    "iHdyff+ro5XX6p7ilaZuneZaH73MgRTfhPzU6b4n+JP8enlxqnUrfDWU+olJv+6vDRwTDZ"
    "ToeWLSo3ZaQabZNGUwl+yG+6iMGcTbfNjxVDHeaakc2qCkdeH7tCK41L6hnsV80p8SAZ5/"
    "wtWIMArOW4N9QtgNk1MC/8J3IZZwoa+2Vr6ogxri2P/+j2bz8PCo+fTw5fGL50dHL46fHk"
    "Nf/aKzl47mTJ92513nopudDdiQtVMcPUQeS9hpVnLL7DRZMU8I4mIpZwrRF649PgCn0cV+"
    "6cm5W8Y8EHIoEOBq1pwRq685I7YemzCYBQZiiMWFj47VhT0HmviIgrUz8LKSueKG2XU2Y0"
    "X9a0Ah8ArMuBSrrFB9wXL4DeACg/UPCMwvbZhfA6HoSWoFJsEY1xq/6nrbfPb86Pnx4cvn"
    "MT5xyzxYCiCQ1B9VxyArVV8QtP5hd2oTh/vKx62qjkNx/DlY7kf/OKzK6s8K1Vf72gS04u"
    "eZAGwHqO5178YAa2cPtud60hQ4ECEcRr1iSPKiOVD6ILsuVOKWCshMRpqSAcXjiLXTwFAQ"
    "/rChLXqRO4cP7cvLs0zk0O7kfMLFp/P26cdHz3TIAJ1wB1IIDfX8CZOVLSUvVl9bAe8tGS"
    "hfD9gHh064zdyxgKDEmpJrNs3b0P2YSKTQ/hTstFqMlZesLxSoYp//ySKiAsIrgwq4Dz3+"
    "u0Cx4RgLtOmzAjZ1HlSJTI1B0p49GKOlaCLbbGKpZCR8AdIPlKazqeOYcJhMWe12tsiCD6"
    "5TZCw29Kl1PaHS7mWuZAOHIguMxN5++MgcqooZCsP5n8E96rPFNRKLepyktREymTN7i7vq"
    "pxs5wYeon5R36aF3uaOqOsntPrDpQ1IaGqNoijLznL3kNt18C/XoUL8SPhuflLHAonSjMc"
    "056cZ4Bfh+urEVxtfoz9AsMNnHyFhyl0odW5h9kUnfYW7vyyPMAPa4fQCRyOMvJ7pDV0gl"
    "OHRwhc0cHTcKz5mSL9z+Mpts3NxjV5xqnOccC5ONSzrGtSUbxQQG8oOf0EQ0TOoiHtCssx"
    "XQfEI8HfZLFvh1pIrKs5RBEWyfPnXeFIMWFKIWQPMTFKrPetWgBAcEYAFiYA7h4wh1hTck"
    "aWS19Z8Q7rpBuCLcdbMWJitD8jZNy2r93GOOsm6OIpuGfPZ0kRww9CpNQ+pruTSkcISsou"
    "BYoM5Z4L9JORz2+7joOwK2U8SCJX+Z1O+81cRo/KhU30d5bcNk56owAViu8LRMnXWOK8bY"
    "oVZ6BYlWDrzbK5NO0BngZbBYy/yn0hrxm8Jd6zwOLi22JfxbyEqbAInAu91AFARN4W8RLA"
    "jKZki43SuPqLp9eBBJ1JCGXwbmrOQe5lrDHBFm1XY/KaHNcYMr3QRx3+yCdDmFNaLecNEw"
    "5F4YXNjxsuXMMSu5AnPcYNSCI0LHqN8h3KrCjbD02MEQ5mYHK9UiYqRKnJoSeYCbr5XVgM"
    "4w8Fmlz2r8rZCMD70PbKr13oFBYqHdHILUfD+wZQovo0WhWdJJTKelJxq8fLjw6KnZunrd"
    "enPa+Fae01grwaop/CKC1XD7cwjWOIWwCMGKnTfHq675aXs6dTE6FWHY06nbSqdiWljb+D"
    "3RqIorpxKPGgs8RF++EJHUnEMkNWeJJK0wTG/OarnLbsuKG9NCm9N0o7HEwjQQjs1soocc"
    "FqX4DGkwXfLowzKPANw5UD79uZuJkY3OH523fn6ciZPPLi/eme4pjF6fXbZndjXJy1QwgZ"
    "xYjbnX5RMKCzKqcynVGVNIDa6qQRSI1ljvabtIXUlbRz0twhLuWO/XK9LeGbl6896r4NlW"
    "yWcbzS3DaOdkt5Ndid4iz6+MmWevxHNsG8UCuykhuSpYHmEDc+oF7sx2P5sWTInXt3TyAp"
    "QHUp+9s8ufwOF89s5P33Q+nUMM9tl733n3/hU5rLR3OWwevYx3K/hj3v7k6rx1dlb0KdCw"
    "oAStJSWdln0GNCwqI3bWWNLY+Ocg8CzUIukH3IHYyn+Cz/tXxchtJdkGcCm//T6rxJJavv"
    "mKjIW2UJmZMBjmxMr9/IyW7YD1cFUv9hglIVRKZp6nqI+XoMSiEJTaFA/1mOpvS0Wg8IMR"
    "dB1/Cg+/Hr61nADkCL4evXuqGl1AgbKXSHzEUtvjlikZC9CRJvFgYDntmsmxW+5Yf+hWlV"
    "FMCS3lgzcYhuFQo8DLfFDCvb64rR91mAqRqGRedVQyYnXHRX8UpzlDFZ2KFH8UB1FzhJjh"
    "gMWYOOyGObUGbYdq3HzedwCBepe4QcSCRZDL7Dxzotvj4ZLqoAPCB3ECJck/mTfTFXC4Nh"
    "6QcNkgGNJFsO6eF9yX3e0EzPuyu52AeXfL7qJs+b7srqb+eV92V2iw8LaBy4qOnZiTMkvJ"
    "1D121jEYhGD/vrq8CNkzUN4Y8GQQQmtuDi0YIgkbozZ8SD3zZ/vyyH155D0FJltbHpn7bL"
    "+oUHL2y/45JZNFpwp8v3qyq88s9AGZ8DAofS6UWYrGegsDfwDgvoo+IjcljhBOZAogMwWP"
    "UgR4G7jwuKCIclMPvUMtZWGdRvlqttKSpbXUUlp4WCGeoaM3/5bDIxdZy4OwNZJVnH4sUG"
    "df0nBhGgpbF4iNqRqFFcE+vLOezCI5y12/juY+o4ZoftXP8/eFPe3ZfMj8giCtzT2w1GLE"
    "coL54hlzVFVNkEOgRtQf4XoFD4LlB0HEdwhBRPz0GbAGMN2Z405ssHhB8ryNE6o+DR5g1+"
    "5ctD7+Uoye6Z+OyNu/dE9bOfyiZbZi8JaVqrXNhYfy6uGGaYUJxNtjJsHZuAycBvxCXdiY"
    "/EPuk0kp5IJMZ46sbh4vQlY3j8vJarxWdOhblaUwkdgCXEwMkPl2wlQnHJitUT2XPjynbh"
    "aYUh7JdK89iaTP3zPH7eUPD/0xXE+u/nOmC9iC+zwzdPfI+QxPhH9HJ5IbF8RuxxyMijSf"
    "k5EIJBJ+KlwLdos32vMRez5i0wrfdj6ixSS3Ro0iHiK6dDCXf6BJp++xDuU6XfHXj3f+9D"
    "ECcNO79cWtfCUutXwjXpoxK19Iy/Nl+4W05P99hFZVQcNR9weo3TUd6eapwhwSbi3KvjCJ"
    "RfLBIbcU+R9ZZ3n2/STzzT6rfIuU3w3l4ja8Qbvakcqr92ff/g/tVKOm"
)
