"""The first schema: users, their tasks and kept answers, every key and index led by the owner; the functions that write.

Lengths are types and not CHECKs: PostgreSQL parses each CHECK anew for every statement that writes its table. What else
a task must be is held by the functions, which all writes go through, and by the API in front of them.
"""

from tortoise import BaseDBAsyncClient

from service.models.functions import source

RUN_IN_TRANSACTION = True

# Those of the first release, in an order in which they can be created.
FUNCTIONS = (
    "task_document", "lock_owner", "create_task", "update_task", "complete_task", "delete_task", "delete_tasks", "restore_task",
    "destroy_tasks", "perform_batch", "import_tasks", "find_answer", "keep_answer", "erase_live_page", "erase_owner",
    "sweep_erased", "purge_trash", "forget_answers",
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
    CONSTRAINT tasks_check CHECK (completed = (completed_at IS NOT NULL) AND (due_date IS NULL OR due_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX tasks_trash ON tasks (user_id, deleted_at, id) WHERE deleted_at IS NOT NULL;

CREATE TABLE idempotency_keys (
    user_id     text         NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    route       text         NOT NULL,
    key         varchar(255) NOT NULL,
    body_digest bytea        NOT NULL,
    status      smallint     NOT NULL,
    headers     jsonb        NOT NULL,
    body        text         NOT NULL,
    size        integer      NOT NULL GENERATED ALWAYS AS (
        octet_length(body) + octet_length(key) + octet_length(route) + 500) STORED,
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
COMMENT ON TABLE idempotency_keys IS 'Answers to be given again when a write is sent again; each is kept for 24 hours.';
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
    "eJztXFtz27YS/isYvTSZ0fE4shOn8ZnOSLGSqPWljeXTWzo0TEIijklAIUDLSpv/3l3wIp"
    "IiVdGSVTrOky0AC4L7Ya9Y8M+WYsENt9nOwGH+RGom7NkPbNZ6Rf5sCeoz+KdqSJu06GSS"
    "GYAtml55hojPB1vXbKbM8CulA2pr6B9RTzFocpiyAz7RXAqk6gpChZqygGhJrhgZ8xsGTW"
    "PKxQ4Zuow4FJ5AFftGkUnAfRrMCMxOuCKXT0JYh8WdNglkqGFy6Hh6uYMPdqQNT+ZifI/P"
    "CAX/GDJLyzHTLgvgSb//Ac1cOOyWqeTn5NoaceY5OQZfR9w0HZaeTUzja5cGb8xQfIEry5"
    "Ze6IvM8MlMu1Kk4+EFsXXMBAuoZk6GySL0vBiXpClaLTToIGTpMp15g8NGNPQQKqSOljBv"
    "a1nW6dnQOu8PLau1CCNVBHhAbI8zoYntSsUI10Uk4oltKXBbcKGV4YpPby2PibF24Wfn+f"
    "PP0cPn3ImG4XP+133/+l33/RMY9RRnl7C7ou13Gnd1or7PZhLANZrGwDHnv8FyEYEhu9Xl"
    "CKQEm8EgaZiDMBePNVDwYSNKBza7QyZUu23CBZm63HYNOLilfQaSQJTEkYjJSgAtwWPY/2"
    "WIk/hKffSyMDw56f5iEPJncc/x2enbZHgGttfHZz2D1hydK+nMLIePmdKLGPW4APksR6lA"
    "WMDqaqaZahBacmRgCRg8RWnQPbj8V6ZNAScMXlOuXcBTooIhUjDUSQEbgVJy1sauh5zPYg"
    "fQ9Qan3fe/loOXjJ9IpceBmajV+3XY7xbgU5rqUC0id+5TzxuICgmbUxVggzdpEGiITmRM"
    "ALD5mlfQcmNc1X/2OgcvXkKvWTT+OFiC0PlJ9/h4cDosMNhl1GFBCYe/Pz87LeduhqTAXo"
    "fbmvxFPK4ay2Y5FSR+gTZRIagzMDfH0qY42mi7/pCur8uQe8t1WVFtFYQBJyjTZXUMTTK+"
    "0XYmhw6uuE1QuZKRDMw/zTQrin8qsfnVCike3mh1NHWpBkeL2DIErqK9N1bukPwY7cvzn4"
    "7BjrCJWt0bi/RU59n+wf7LvRf7qbJKW5ZprEVlZQcM2WTRElt+BD2a+6wcgDxlUW3FpDvJ"
    "P40CBcKLuYyQKagrE3McIlRgwUFOxlJDqEQ6+8SVYaCIB8sO1pebwUn/fNg9+TEnPEfdYR"
    "97OjnBSVqfvCjotnQS8vNg+I7gT/Lb2Wm/qO7SccPfWrgmGmppCTm1qJNlZdKcNOV2Rxxd"
    "1QmGMiRNVpIJxb8V/mDsOboujX6Qg4scfyMDxscCAn3D9wEskgq7NOiJ0wMX8TwPjOGfkx"
    "2VtLbSGDig0zRaz240eHmHeUxHW7N7/rp71G8ZFl9R+3pKA8fK8Rp7ZEcWWtKxi11+xy+2"
    "UEHHhjn4FrjmhO1Dqq5bZeka09FemqTRMGTFzMwZRBsmSMSsiSNrZEq48/TykAxloCVXJm"
    "TR0nMIxDuX3Lkk1INAZjFLs4XnrZGxKdNRPT6u9B5KFdQdfYd7ydigfQLH2rhwAbvhyvjS"
    "6EwoYiwv/D4kgt2AAQvY6gFn7D982+ns7R10dvdevHy+f3Dw/OVu6kgsdi3zKHqDt+hU5J"
    "Rd4mVUJ3jCMrwuLgZHFTalFK4QmneQqDlKrkUJviIICkAlJIkSAyjVxKXg9nHfDyNhX9eV"
    "MHZmL/INslbf8CPv4mmuvRLPutqEpwRfogHf3V3FgO/uVhtw7CvhsFWaNa4OJXNE2+N0q3"
    "UHTTQChc0cYpaMwWSctkzc5VBEWU0FOn4Dma97CS+zb1VDFgpkd8IptgfNFIhnuytJBA6r"
    "FImos5LfdSWjhLTBfM8KSKanXEyaKRu29CfoPpc5UVJ6jIqKFECWrpjOB8L70mFpy/2FH6"
    "W+ztnZcY73vUGRuRcnvT4IiwECBnGdc4hKOH6XxEuBdgOply1Kii99PIME7z9+j8iRhclQ"
    "WjxGJkw4Gzn7emjJFoigZMB1iaqEMKYvQn8h8M9tiyz59pKiuzW3wCkwD6g+iOOzn8H4fB"
    "An/aPBxQk4Zh/Eu8Hbd6/I3tYPbDQdl5zWdIOAVhxkJgQFNt/nIU3rv6NQ2OZE5SrknuZC"
    "7eDzvqvpzm1CD6JR+f2PRSamdSV1GJkSPUBm5nxj2BNtEhVazAgN2AYN/gKznZBZqN7LTU"
    "eFV5WhWWYymmMuKLEp+KkODYhDZ3h6AiE1rpN8koIdEnZreyHQEHw1uuIByhJWoxUoYXR9"
    "Cz2neji2mcaWucDWZEc8LlP8+E7FNmIXHhrM4cS5I8x5yq8wNxrmGxao0rTPshOCDFGjSw"
    "yqDgq0iwctVF1/g6fXCqs+qRivqMu3eUqQTRndNSTOUz4co6s4RHLEFCRwTTzOTI0IQgpg"
    "KDcXF3v85hFaYnjbEN2SWvnDDE3TE4fmbAiihqgWJSpEgb1wGAUmKMjgUDi4RQIWJxLxSc"
    "3MI34tF/laLvIvOSoPtlzEsL2sXCTBY0m5CL5TjXIRHE5MWTtokeQxpMe0hvZuqN20FjEq"
    "6jXPaQMFlsJxkRa6J1Ufh9FMqJIkViaUF41s5akbLh2p1lebVFX3Vjii5TUTWAAfXv2f2c"
    "2958N8yr063E8JmmzW48tWxumeBlxHNVOACLE9Cu6nc8erV3udVQ5qYVQlJKYvb7LN3xoI"
    "JOMfIwAblInHnGqKsuY8iNF5hEFNEqfXy0hkqZp7wEedG3Q0FZY/4I04c0WOUduNwD4kWL"
    "I4I3F6BQ+BYewokH7dKxBbTk7g6sEjuYOc5ikfmJymShSQQ1xs7eFJDOoeBcAZdKNrkvPN"
    "+biEOb0tUk+ac2TNFWfEVrApU3qeXQRnnpI45RYlMEy9K3jkY5R4vGY2lrKBBcnZ02p1bZ"
    "lbWYuoVUKWJ2ouZpgpNLgo/B7CRBN2C7EhKuS5HjYoIbgfQ6lpLag2dvfM5Djro5Cnai4M"
    "BoFcPrfZcEQpyNp4FMmaC4hhfpJo1ZJkPomC11ZAWpqDQvo1hNUtSpGyuUCYbyjwTyxKCz"
    "GVXMVcC4EtWxBgoiotmF2C0JymwdgYrRVOUEBMoi3x1LGkKXqBdlTsr7nnxZ/sCZgvb5p3"
    "BWkha16d483mAxc/lFSAOJ7hzQ/vmUerrgZUfqSpGd792gn2BX9qXU4l9yO/FP7c67FBl0"
    "Es5rbKDg7irvbSowM6H/RPZwfVnNhw1n3t25pxfnHbOffVDwc34itU59MrC12q87nVZS5f"
    "z18rMrYoVTU4HA//Arn7bNWbY8suji3kw6XQpfUe1V9PypA8hK8nbaIGb2MfQ6rhIm3enn"
    "3+Gz8wlRI="
)
