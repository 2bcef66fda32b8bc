"""The first schema: users, their tasks and kept answers, every key and index led by the owner; the functions that write.

Lengths are types and not CHECKs: PostgreSQL parses each CHECK anew for every statement that writes its table. What else
a task must be is held by the functions, which all writes go through, and by the API in front of them.
"""

from tortoise import BaseDBAsyncClient

from service.database.functions import source

RUN_IN_TRANSACTION = True

# Those of the first release, in an order in which they can be created.
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

COMMENT ON TABLE users IS 'One user of this service, made from a verified token at the first write.';
COMMENT ON COLUMN users.revision IS 'Advances by one with each task that is written; every id and version comes from it.';
COMMENT ON COLUMN users.written_at IS 'The last write; strictly increases with the revision.';
COMMENT ON COLUMN users.task_count IS 'Live tasks; each write keeps it exact, for the quota.';
COMMENT ON COLUMN users.trash_count IS 'Tasks in the trash; each write keeps it exact, for the quota.';
COMMENT ON COLUMN users.answer_count IS 'Kept answers to idempotency keys, for the quota.';
COMMENT ON COLUMN users.answer_bytes IS 'The size of these answers, for the quota.';
COMMENT ON COLUMN users.forgotten IS 'The newest revision of a deleted task that is gone for good.';
COMMENT ON COLUMN users.erased IS 'Tasks up to this version are erased, and still to be removed.';
COMMENT ON TABLE tasks IS 'Things to do; every key and index is led by the owner.';
COMMENT ON COLUMN tasks.id IS 'The owner''s revision at this task''s creation.';
COMMENT ON COLUMN tasks.uid IS 'A UUID that no other task has; immutable.';
COMMENT ON COLUMN tasks.version IS 'The owner''s revision at this task''s last change.';
COMMENT ON COLUMN tasks.deleted_at IS 'Since when it lies in the trash; null while live.';
COMMENT ON COLUMN tasks.title_key IS 'the folded title, by which it is found and sorted';
COMMENT ON COLUMN tasks.description_key IS 'the folded description, by which it is found';
COMMENT ON COLUMN tasks.tag_keys IS 'the folded tags, as they are found';
COMMENT ON COLUMN tasks.document IS 'The task as answers give it (task_document); built at read where it is null.';
COMMENT ON TABLE idempotency_keys IS 'What became of writes that may be sent again; each is kept for 24 hours.';
COMMENT ON COLUMN idempotency_keys.answer IS 'What the function that wrote returned, as JSON.';
COMMENT ON COLUMN idempotency_keys.size IS 'What it counts in bytes; 500 of them for the row itself.';

CREATE TABLE IF NOT EXISTS aerich (
    id      serial       NOT NULL PRIMARY KEY,
    version varchar(255) NOT NULL,
    app     varchar(100) NOT NULL,
    content jsonb        NOT NULL
);
"""


async def upgrade(db: BaseDBAsyncClient) -> str:
    return SCHEMA + "\n".join(map(source, FUNCTIONS))


async def downgrade(db: BaseDBAsyncClient) -> str:
    functions = ", ".join(reversed(FUNCTIONS))
    return f"""
DROP FUNCTION {functions};
DROP TABLE idempotency_keys;
DROP TABLE tasks;
DROP TABLE users;
"""


MODELS_STATE = (
    "eJztXOtT2zoW/1c0+dJ2hmVoaAtbdnYmKWmbe3ncLWF7H71jhK0kWmwplWRCerf/+54jP2"
    "I7djaGkJrSTxBJR5bPT+epI//V0kxdc5dt9z0WTKRhwp39zGat1+SvlqABg3+qhmyRFp1M"
    "MgOwxdBL3xLx+WDnis20HX6pjaKugf4h9TWDJo9pV/GJ4VIg1ccxNeSSufBkIoeEkqniBs"
    "YZCa2ECj1linmEjigX22QwZsSj8Eiq2RNNJooHVM0IPI5wTS6ehrAwh3tbRMkQZ4GOZxfb"
    "uBJPurAULkabfGgo+OeQOUaOmBkzBY/+409o5sJjN0wnPydXzpAz38tBcBXx23Y4ZjaxjW"
    "/GVL21Q/GNLh1X+mEgMsMnMzOWIh0Pb4ytIyaYooZ5GRhE6PsxcklTtFpoMCpk6TK9eYPH"
    "hjT0EUykjpYwb2s5zsnpwDnrDRyntQg01QR4QFyfM2GIO5aaEW6K0MQTu1LgxuHCaMuVgN"
    "44PhMjM4af7Zcvv0YPn3MnGobP+Xfnw5v3nQ9PYdQznF3C/os26Enc1Y76vtpJANdoGgvH"
    "nP8Wy0UEBuzGlCOQEqwHg6RhDsJcgO6AQgAbUcLOFh6ZUDPeIlyQ6Zi7YwsObumAwf4nWu"
    "JIxGQlgJbgMej9OsBJAq0/+1kYnh53frUIBbO45+j05F0yPAPbm6PTrkVrjs6l9GaOx0dM"
    "m0WMulyAfJajVCAsYHU5M0w3CC3QTTA/6BrEC5f+2sKkUW8hVlNuxkSiatGoihQbgi7y7g"
    "xZFxmehQwQ6/ZPOh9+K8csGT+R2oyUnajV/W3Q6xRQUwzeRhvQlXVUW56q0dKF4MTLBaDA"
    "xkxB63lSsAPClJKIkgClp2MTQ5Axt1SCz9v7KyhBGFWpBG1fHqBoWXW03pyi0cBMEQxEZx"
    "gKFxtjeBT4K4CYCZVgYMABrZ/OTk+aqfM0/1JikPqiAplkeAEXWH3TcOHgDsgQuIrSYVXw"
    "AfklUiVn/zoCRccmenUpGeFy/9Z+/mLvxf7uqxf7MMS+UtqytwS4/smgwHVXMWSTQ0sMzS"
    "H0GB6wcgDylAUYvJh0O/mnUaAw1FIZ5QU/wLwMpRpJAw4+ab8gYxmCOvNhteru4tI/7p0N"
    "Ose/5GTmsDPoYU87Jy9J69NXBcWWTkI+9gfvCf4kv5+e9IqGKR03+L2Fa6KhkY6QU4d6WQ"
    "4mzUlTblPEHn8dK5YhabKmTCi+lUuO8dDwqtQjRw4ucvytVIyPBISnlu99WCQVbqkjHge1"
    "5/E8D4zhX5MdlbS20rhM0WkaQWY3Gry8x3xmoq3ZOXvTOey1LIsvqXs1pcpzcrzGHtmWhZ"
    "Z07GJX0A6KLVTQkWUOvgWuOWH7gOqrVlmSwXZsLU0tGBiyYj7hVDBiAxcM5j1ZI3rn3rOL"
    "AzKQykiOsSnEq9L3MD9wwb0LQn1QhYuphA087w5ZhDId1eWjSqehVEHd0mW4lywC+nByCg"
    "t5guHONdfoy1kfQhNrcOH3ARHsGrxrxVaPhmK34e/t9u7uXntn99X+yxd7ey/3d1L/YbFr"
    "mSPR7b9DXyKn7BLnojrpEJbhdX7eP6ywKaVwhdC8jUTNUXItGoU61ukWMgpZCUo1GVPw9n"
    "gQhJGw39WVsHZmN/INslbf8iPv2Rlu/BKHutqEpwTfowHf2VnFgO/sVBtw7CvhsFOayayO"
    "KHNEm+N0q3ULTTQEhc08Ype8BaFLnEpL3OVQRJk2DTp+DWmZe4kqs29VQxYKZLfCKbYHzR"
    "SI5zsrSQQOq86w7CzKRGZxdSWjhLTBfM8KSKanXEyaKRuuDCboPpc5UVL6jIqKyD9LV0wx"
    "A+F96bC05f7Cj1Jf5/T0KMf7br/I3PPjbg+ExQIBg7jJOUQlHL9NvqVAu4aMywYlJZABno"
    "uB9x+/R+TIwmQoLT4jEya8tZzHPLRkC0RQUnFToiohjOmJMFgI/HPbIku+uVzoTs0tcALM"
    "A6pP4uj0IxifT+K4d9g/PwbH7JN433/3/jXZrRXI7Lb3XqWhC/5YFqycHXeOjhaF0dCRXm"
    "R6RylacbiWEBTY7HN9b3xu/SPN6F+G3Ddc6G183j9runPr0INoVP74c5GJaTVEHUamRA+Q"
    "mTnfGPaEPViBthmhiq3R4C8w2wuZg+q93HRUeFUZmmUmoznmghKXgp/qUUU8OsNDEwipcZ"
    "3kS3TUeOP6IdAQfDW64rnJElajFShhdH0LPad6OLaZxpa5wNZkRzwuU/z4DsPWYhceGszh"
    "xLslzHnKHzA3GuZrpnRp2mfZCUGGqNGVBVUHBWaMBy1UXz3B02uNlYhUjFbU5Zs8JcimjG"
    "4bEucpH47R1RwiOZLUIfic2dIQhBTA0ONcXOzz60doieFtQ3RLauUPMzRNTxzasyGaFMpp"
    "MgKUYS8cRIEJCjI4FB5uEcXiRCI+qZl5xB/lIj/KRb6Ro/Jgy0Us28vKRRI8lpSL4DvVKB"
    "fB4Zh4ta5B8hjSZcZAeyc047QEUaNLQexztoACS+HALlERnWcnVR8H0UyokiRWJpQXjWzk"
    "qWsuHanWV+tUVfdWOGLkFRPg9+nw8j/Mbe7dExZQ7tfhfkrQZLMeXwCyTjfet4pqpgAR4v"
    "oU3E/vlpXwu+1VDmphVCUkti9vsu3fGggk4x8jAGuUicecaoqy5lzF6DzCoCaJ0+tlJLJU"
    "zT3go941Opoayx8kmH97dYtRdxyBfUCwZHFG4vQKHgLD2KGSQd2bDxtOTuDqwSO5hZzmKR"
    "+YnKZKFJBDXFzj40kM6h4NwFl0o9tg8835uIQ5vS1ST5pzZM0VZ8RWsCle9Euzi/YmeZxy"
    "ixIYtt4VPPIRSjy8GfwjG1iQnD2t1leOvYy1iFolZHmi5mKGmUKLi8Y7+hND2A3EhqiQ53"
    "rYooTgfg6lobWgWtuVM5vjrI9Cnqq5MFgEcvncZsMRpSBr41Ekay4glvlJotVIkvmQB15b"
    "AWlpDgrpDf3VLUqRsrlA2Lv9/AuL0kJMJ58iuRMCG7YgwERdWjC7BKE5TYOxsVornKCA2E"
    "Rb4qljSVP0AltRsb/hvh9/SUaxQF437wrSQta8OsebzQcuft6nAHE8w9ufPzCfVl0NqPy0"
    "UDO8+zsn2Bf8qbtyKrkf+b3w516PDToMYrFxq+zgIO7aWnp0QOeD/t/ZQTUn1px1v/NtzT"
    "i/uOmc++qHg2vxFarz6ZWFLtX53Ooylx/nrxUZW5SqGhyOh3+H3H2+6s2xZRfHFvLhUpjS"
    "eg/8YE3VhZiUpJhd4xBo/ZfcZy35t6nBS77eU12+UazU2MpnvnCCbj0Xaf327Ov/AGtjLq"
    "I="
)
