"""Create the first schema: users, tasks and idempotency keys, and the functions that write them.

Every key and index starts with the owner. Lengths are types, not CHECKs, because PostgreSQL parses each CHECK again for
every statement that writes its table. The functions, which perform all writes, and the API enforce the other rules.
"""

from pathlib import Path

from tortoise import BaseDBAsyncClient

from service.database.functions import sources

RUN_IN_TRANSACTION = True

# The functions of the first release, in an order in which they can be created.
FUNCTIONS = (
    "task_document", "lock_owner", "create_task", "update_task", "complete_task", "delete_task", "delete_tasks", "restore_task",
    "destroy_tasks", "perform_batch", "import_tasks", "find_answer", "keep_answer", "perform_once", "import_once",
    "erase_live_page", "erase_owner", "sweep_erased", "purge_trash", "forget_answers",
)  # fmt: skip

SCHEMA = """
CREATE TABLE users (
    id           text         NOT NULL PRIMARY KEY,
    email        varchar(320),
    name         varchar(255),
    created_at   timestamptz  NOT NULL,
    revision     bigint       NOT NULL,
    written_at   timestamptz  NOT NULL,
    forgotten    bigint       NOT NULL DEFAULT 0,
    erased       bigint       NOT NULL DEFAULT 0,
    task_count   integer      NOT NULL,
    trash_count  integer      NOT NULL DEFAULT 0,
    answer_count integer      NOT NULL DEFAULT 0,
    answer_bytes bigint       NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX users_erased ON users (id) WHERE erased > 0;

CREATE TABLE tasks (
    user_id         text         NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    id              bigint       NOT NULL,
    uid             uuid         NOT NULL,
    title           varchar(200) NOT NULL,
    title_key       text         COLLATE "C" NOT NULL,
    description     varchar(1000),
    description_key text         COLLATE "C",
    completed       boolean      NOT NULL,
    completed_at    timestamptz,
    priority        smallint     NOT NULL,
    tags            text[]       NOT NULL,
    tag_keys        text[]       COLLATE "C" NOT NULL,
    due_date        date,
    due_at          timestamptz,
    created_at      timestamptz  NOT NULL,
    updated_at      timestamptz  NOT NULL,
    version         bigint       NOT NULL,
    deleted_at      timestamptz,
    document        text,
    PRIMARY KEY (user_id, id),
    CONSTRAINT tasks_uid UNIQUE (user_id, uid),
    CONSTRAINT tasks_check CHECK (due_date IS NULL OR due_at IS NULL)
) WITH (fillfactor = 80);
CREATE INDEX tasks_trash ON tasks (user_id, deleted_at, id) WHERE deleted_at IS NOT NULL;

CREATE TABLE idempotency_keys (
    user_id     text         NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    route       text         NOT NULL,
    key         varchar(255) NOT NULL,
    body_digest bytea        NOT NULL,
    request_id  varchar(128) NOT NULL,
    answer      text         NOT NULL,
    size        integer      NOT NULL GENERATED ALWAYS AS (
        octet_length(answer) + octet_length(key) + octet_length(route) + 500) STORED,
    created_at  timestamptz  NOT NULL,
    PRIMARY KEY (user_id, route, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (user_id, created_at);

COMMENT ON TABLE users IS 'The users of this service; the first write of a user creates the row from the token.';
COMMENT ON COLUMN users.revision IS 'Advances by one with each written task; the source of all ids and versions.';
COMMENT ON COLUMN users.written_at IS 'The time of the last write; strictly increases with the revision.';
COMMENT ON COLUMN users.task_count IS 'Live tasks, for the quota; each write updates it.';
COMMENT ON COLUMN users.trash_count IS 'Tasks in the trash, for the quota; each write updates it.';
COMMENT ON COLUMN users.answer_count IS 'Stored answers to idempotency keys, for the quota.';
COMMENT ON COLUMN users.answer_bytes IS 'The size of these answers in bytes, for the quota.';
COMMENT ON COLUMN users.forgotten IS 'The newest revision whose tombstone has been removed.';
COMMENT ON COLUMN users.erased IS 'Tasks up to this version are erased but not all removed yet.';
COMMENT ON TABLE tasks IS 'The tasks of all users; every key and index starts with the owner.';
COMMENT ON COLUMN tasks.id IS 'The owner''s revision at the task''s creation; never reused.';
COMMENT ON COLUMN tasks.uid IS 'A UUID that is unique among all tasks; immutable.';
COMMENT ON COLUMN tasks.version IS 'The owner''s revision at the task''s last change.';
COMMENT ON COLUMN tasks.deleted_at IS 'The time of deletion; null while live.';
COMMENT ON COLUMN tasks.title_key IS 'The folded title, for search and sorting.';
COMMENT ON COLUMN tasks.description_key IS 'The folded description, for search.';
COMMENT ON COLUMN tasks.tag_keys IS 'The folded tags, for search.';
COMMENT ON COLUMN tasks.document IS 'The task as JSON (task_document), for responses; built at read if null.';
COMMENT ON TABLE idempotency_keys IS 'The stored results of writes under an idempotency key; they expire after 24 hours.';
COMMENT ON COLUMN idempotency_keys.answer IS 'The result of the database function, as JSON.';
COMMENT ON COLUMN idempotency_keys.size IS 'The size in bytes for the quota, with 500 bytes for the row itself.';

CREATE TABLE IF NOT EXISTS aerich (
    id      serial       NOT NULL PRIMARY KEY,
    version varchar(255) NOT NULL,
    app     varchar(100) NOT NULL,
    content jsonb        NOT NULL
);
"""


async def upgrade(db: BaseDBAsyncClient) -> str:
    return SCHEMA + sources(FUNCTIONS, replaced=Path(__file__).with_name("0_functions.sql"))


async def downgrade(db: BaseDBAsyncClient) -> str:
    functions = ", ".join(reversed(FUNCTIONS))
    return f"""
DROP FUNCTION {functions};
DROP TABLE idempotency_keys;
DROP TABLE tasks;
DROP TABLE users;
"""


MODELS_STATE = (
    "eJztXHtz2zYS/yoY/dNkxvU4shP76pvOSImS6GJbvVjuMx0GIiEJNQkoBGhZ7eW73y5Iig"
    "+RiihLNhVnppOKAJYE9ofdxT7gfxqK+TfcZvtX8KPxA/mnIajH4Ee2Y4806GSSasYWTQeu"
    "GRpAozJjBkr71NbQOKSuYtDkMGX7fKK5FDi0JxjB4UQOiR5zReLPkD4+wX9CauiJRplP4N"
    "g20xqeW4Ee75HpmNtjHCuHmgnCBaFANYZ+hwIFVWwfZ+NIG6bDxei+PxwI/ilglpYjhp3w"
    "+T/+hGYuHHbLVPw4ubaGnLlOhuvcwReYdkvPJqbt5Zj6r81IXNTAsqUbeCIZPZnpsRTz4b"
    "BmbB0xwXyqmZMCQwSuG4EWN4VzhQbtB2w+SSdpcNiQBi5CitThDJK2hmVd9PrWZadvWY1F"
    "uJGfWl4z8R0wPBj8xWBv5JCJ3mpLgXuHC60MQzx6a7lMjPQYHpvPn38Ov5xwJhyGH/m59f"
    "7l29b7JzDqKb5dwhYMN+ZF1NUM+z6blwBS4WsMEgnrmUe5W4X7c4K1AIjYO+d/PCQBIBGh"
    "OyAw9KVH5jCEu58RlypNpj7XbB04DpsHK8ABo0rhMH0IR8J+8/8K3I/HPzbmb1AWEubbPk"
    "NmWVQvQvAKejT3WDEMWcocGE5Euh//WEcxbQkbRGLI/WpQLOF8v3veuey3zn/CN3lKfXIN"
    "81r9DvY0Tess1/rkRQ6k+UvIL93+W4KP5PfeRcfwVio98s0Xk3H93xs4JxpoaQk5taiTZl"
    "DcHDdlMPfZDVfIjAXE23zUFboY7zRVDm1g0rbwPagILnVuqLCZIoMZkWD5p1yPCaNgvA3Y"
    "p4TdMH9G4B9cC7GlB2ONtPJVDdQI5/79v5rNw8Pj5sHhi5PnR8fHz08OTmCsWehi1/GS7d"
    "Puvule9LO7ARuycoqzh5PHGnKapdwxOU005ilBXGztzuD0hbpHAXAGXRyX3pyPS5iH0h9J"
    "BLiaNGfI6ivOiK1gUwa7IIYYzuJSoWH1wOdAER9TkHYGVtZnnrxhTp3FWFN1DSgEokCMS7"
    "HKEtUXLJffAC4wWbVHYH8ZwfwUSE1PUxqYBBPUNaqqvm0+Ozo+Ojl8cTTHZ96yDJYCCHyq"
    "xtUxyFLVFwTDf3RQzekTZ11nMKhQU+ZXRiNPVl84QEX5zCHhhBVoLcId5k0kaF57Rq7ZLC"
    "8rD4rDYAaboZohyVPWFwpkseJ/s8gbAxsSowLSYuZ/Fyju2ZAANxUrCBktgyqhqTFIRn0F"
    "E5QUE62LT+rUZyRcABkE2sTsqOvGNp/MWO2O7xjqG16nIk7YMKD29ZT6jpXpyR4QiiQwIn"
    "v97j1zqS52w+LAZh/eUZ9zfEyx6qk8aW2E4ZrMvk9pTwu15x1Z1U1e947Nviam4WaTTVm2"
    "/Ra7vKaXb6GCjsyS8Nv4pcwOK8oZxFtvSc5gvsO/nDNomdMkBuoZmfjco74xmfHpJg69Y1"
    "z+4xOM3lvc2QMD+/TjqRnQl76WHAZ40mGucRSkAAfyI3c+LiYKtv61DWcHlqn6wvzAmmp+"
    "a/kBOYWJfKcSz46GeRiEAZpNgBGaT8EDBCsAwwJVR++uPLEQFMF2ddV9VQxaUIhaAM37SF"
    "Qf7dSgBCcEYAFiIA7h5wj1pBgZq2xk/JRwzwtCua+iy4r4H+YVwjhLOoJi+JLz77h2K+UT"
    "5gSbSac9sEHI5QwOVknYwKjynMHBQsLGMAyt7yKX++y2zIFOE90fpxuNNRTTULoOnCnNlE"
    "OfQDHqg9NMhUMUqHkE4K5but/5tZ8JMsY8f3Le+vVpJtB41rt4Ew9PYfTyrNfOQZNeTAUR"
    "yJHVOLO2phw8O1hJEHBYqSSEnaX8rioQBaQ15ntaLlI9aemop0TY0pu4TBf6ylK6jIqS9G"
    "aaLgfMAAi3pbDmLdtzFgoPOL3eWYb37W6euVfn7Q6IiAECBmHqtDA0MefcOknlHO0G0lX3"
    "KB84I4wuRasIz67wKiwfcsGpYMLZiOXYtRwVeFPS57pAPYID0xGBZzZDF9aPuduFTZEmr2"
    "/k6gKYB1QfxFnvFzA4H8R551X36hzOYB/E2+6btz+Qw0q+y2Hz+MXcW8GHZf7J5Xnr7Kwo"
    "3TQqiJC0fJ/OylJNo6IorsvV1vjc+PcwEDZykQwC7sLZSu3j936seHLbhBZEk/LHn4tMLA"
    "k1LWfknGgHmZk5BsOe2LidX+CyEzALtXqxxSg5QqVollmK+lgJSmwKh1KHYuHozNQvyEAT"
    "GpqOv6XACpVb2w2AjuDy6Iph7SXsRhNQwOzqxjmh2h2zTMlEAo9MEA8mluNuvDkelzl+fD"
    "V/G7ENuwZzmNtfB+Ys5TeYaw1zlCCtlh9IEd3fiXqjaQKu4jyBqRG0x1SMVi2rfpCMvcPW"
    "dYqzlLtje9MusVlD3iHGgrHHZ35htYHHiuqdlgQLUzR1jxKiWBKqyH8uexeh3wDMmwCeTJ"
    "2GXglKMJwkHMKH5iP1jBxGKd4qcfQUydeYTNrUBZSFypgs0xc5/lr6jI/EOzZbiBSVFHbE"
    "lxd3jOFl5RzQ7NPpvDAgvdFg8aGBMFuzdfmy9QrcvfJao60WhuTqaYpKRBZLbpYUixSV+3"
    "y5bqRvbgQoQAZNDw1rXWNVNDEuDPwAwJVWYb1HXNwBx4lM6Uem1MMHVx1eAx1PC8pH7uuj"
    "d6giKcxQlWuzjSZrt1JFYuNVACzeNHUjtssjE1nLa6YGySpGf05QZ1vS8GAbSsekxidUj8"
    "NaKAVrNptZJjelzXJwd8cN0f6qn+UfSGdmOXzEVMEhrc0FSGoxYjnCfNowrpGuCXII1Jiq"
    "Meor+BCoHwQR1xCCiPiZG1YxYGYwR09suHop1jLHCVmfBg+wa3cvWu9/K0YvHp8+kbd/63"
    "daOfwiNVvx8JalqrXMhVfezHTDIqwpnLcnzAdj4zEwGvCEvHAw7Mm1Isz3ZfiHGioXTjRP"
    "VqmbaJ6Ul01gX9FtgyqqMKHYAVziM0CmajTOy+zFrlE9VR9ekFgEpjSOFA+vfRDJXPyI73"
    "nkL0T9FOqTy/+emdR98JA3oh5fcD4TJ8Lf0X3f2ASx2wkHoSLNIzKWgY8BPx3qgscVN/oW"
    "j/gWj7hvhu96PKLFfG6PG0VxiKhrb2n8gSaDvhR1KOfphu993PnSRwTgfXvrq0v5RkxquS"
    "NemjErV6Tl+bJvirTkLwuhVFXgcDT8K+Tus1VLz5dVni/83SYpdGEOCV2LstraOUn+cMht"
    "Tf5HtlmY9jDJ/NjPKneR8t5Q7tyGL2hXu8u7eXv2+f9+zzPy"
)
