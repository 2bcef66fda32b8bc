"""What sync and safe retries need: which revision the trash has forgotten, and the answers given to keys."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
ALTER TABLE users ADD COLUMN IF NOT EXISTS forgotten bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN users.forgotten IS 'The newest revision of a deleted task that is gone for good.';

CREATE TABLE idempotency_keys (
    user_id     text        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    route       text        NOT NULL,
    key         text        NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    body_digest bytea       NOT NULL,
    status      smallint    NOT NULL,
    headers     jsonb       NOT NULL,
    body        text        NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, route, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (user_id, created_at);
COMMENT ON TABLE idempotency_keys IS 'Answers to be given again when a write is sent again; each is kept for 24 hours.';
"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
DROP TABLE idempotency_keys;
ALTER TABLE users DROP COLUMN forgotten;
"""


MODELS_STATE = (
    "eJztW3tv2zgS/yqE/9kW8AWpkzbdZnGA3bqtd5P40Lj77EKhJVrmWSJdkYrj2+133xnqYU"
    "mWfHbiuHIToEBjcoai5kfOW381FAuuuc0Oeg7zp1IzYc9/YvPGK/JXQ1CfwR9VJE3SoNNp"
    "hgBHNB16hokviK0JmytDPlQ6oLaG+RH1FIMhhyk74FPNpUCutiBUqBkLiJZkyIjLrxkMuZ"
    "SLAzIYM+JQeAJV7DtFpgH3aTAnsDrhilw9CWEfFneaJJChhsVh4unVAT7YkTY8mQv3Hp8R"
    "Cv45ZJaWLtNjFsCT/vgThrlw2A1Tyc/pxBpx5jk5AU8iaZoJS8+nZvD1mAZvDSm+wNCypR"
    "f6IkM+neuxFCk9vCCOukywgGrmZIQsQs+LcUmGot3CgA5Clm7TWQw4bERDD6FC7mgLi7GG"
    "ZV30B9Zld2BZjWUYqSIgA2J7nAlN7LFUjHBdRCJe2JYCjwUXWhmp+PTG8phw9Rh+tp4//x"
    "I9fCGdiAyf83P7w+v37Q9PgOopri7hdEXH7yKeakVzX8wigGu0jIFjIX+D5TICA3ajyxFI"
    "GbaDQTKwAGFxPe6Agg8HUTpw2B0ypXrcJFyQ2ZjbYwMOHmmfwU0gSiIlYrIWQCvwGHR/He"
    "AivlKfvSwMT87bvxqE/Hk8c9a/eJeQZ2B7fdbvGLQW6AylM7cc7jKllzHqcAH3sxylAmMB"
    "q+FcM1UjtOTIwBIweIrSoHtw+6/MmAJJGLxmXI8BT4kKhkjBUCcFbARKybkzdh2UfBY7gK"
    "7Tu2h/+K0cvIR+KpV2A7NQo/PboNsuwKc01aFaRu7Sp57XExU3bMFVgA3epEagITqRMQHA"
    "FnteQ8u5uKt/HbVOXryEWbNp/HGyAqHL8/bZWe9iUBDwmFGHBSUS/vGyf1Eu3QxLQbwOtz"
    "X5m3hc1VbMciZI/AJNokJQZ2BuzqRNkdpou+6A3l2XofRW67Ki2ipcBlygTJdtYmgS+lrb"
    "mRw6uOMmQeVKRjIwf9TTrNgBQ9FZtMSqvIEZzX1WDkqes3iBYtaD5I8aATUbg6O7QIvM4O"
    "IY7/cUvDO0JYCYKzU47aR1TMYyDBTxYNvB3RHsnXcvB+3z/+RgfNMedHGmlYMwGX3yonDL"
    "0kXIL73Be4I/ye/9i27x4qV0g98buCcaamkJObOokxVlMpwM5U5H7Odv4pZnWOp8XROOr+"
    "WIYxQ0mpT64SjBZYm/lQHjroCQ08i9B5ukwi51v+NA9WO8zp4J/EtyopLRRhqNBXSWxo3Z"
    "gwYv7zCP6ehoti9ft990G0bEQ2pPZjRwrJyscUa2ZGEkpV2e8lt+cYQK6hrh4FvgnhOxD6"
    "iaNMoSB2aiuTJdoIFkzRxBH/xeE65g/O7IDWJ27jy9OiUDGWjJlXGetfQcAp73FXeuCPXA"
    "pV7OF+zgeXfIHZTpqA53Kx3rUgVV4lTHB2/nqQPBrsEyBWz9mCZ2pb9vtY6OTlqHRy9ePj"
    "8+OXn+8jB1rJenVrnZnd47dLJzWizxuqtzCJprrySHUG0uUoZv0VgcHq5jLA4Pq40FzuUd"
    "tuzONpBzge1W0o4Pdj2F/exwLWkjWaW4o8mCgyz9KZqWMgUjpceoqHCPs3zFpAsw3tfpTk"
    "fuzzSXqot+/yzn1XZ6xejj43mnCwAY6QMR1zmdUiLx2wQlBd4thCW7OfUmfPSlj5lisIzx"
    "e8DcqVkMM5YeI1MmnK1kKPctEAHvQgZcl2QNwMR3RegvOcW5Y5Fl310m7XDDI3ABwgOuT+"
    "Ks/wsotE/ivPum9/EcDMkn8b737v0rcrTztJqmbklOrR0EtCLdnDAUxHyfqbTGD6NQ2Cbv"
    "NQy5p7lQB/i8fzd2rwcx6/LHn0WbDV4tapxybVZhsDM8q7RYfTQYJTYFc+zQAOKCOZZZhC"
    "S4T/I/8PBPCbuxvRB4CL4aXbMOtkLUqJhKBL250Vhw7Y+5oLGxKIg1OREPyzo8vCTmVlTV"
    "vsEcTp1bwpznfIS51jBfs0CVRrerEjoZptqXSuVMmCJRwK65MtU6jak1RTD99x0WGxS2i1"
    "DhrqnLd5n7yWYibhul5Tn3x+gqDsEFMfUjronHwejyqJQEYKhxLlTz+PUDtMSPBaPHgtFX"
    "sn17WzAyYi8rGCV4rCgY4TttUDBCcmJarMDaJI8hHaY1jLdDPSYTxqag1XTUYGKe0wQOLI"
    "ZzkTZdJXWf02gl+AcTwFVeNtrJU7dcPKrWV9tUVfdSOzL2SE6YwGascPhfZte355T5lHvL"
    "0q9uBUoZalzBSBp/jR83C7iOqqaACLE9Ch6Ns3Yb8K7bgcz/G8CR0D+i8dictbX4aMSDGK"
    "oH6EEnQeFm4W+Wq74FDupcowuqyHBu+rZNIzej9jgC+5Rg18OcxLE8FsGAdhRIf/3PJr5K"
    "JIy7B1/lFvc0z7ln9zTVqIAc4mJrD9P+qHsUAGfQjZr5F4fzYV3mtJN0s9ucY6vvdUZsBZ"
    "sxOAVpKgvcfEri/I7JZ8EJoKar1sUbj83QrpQ17GnKljzVBMAIRcltroQsz1RfzDAtZXBR"
    "+NXeVBN2A1EjKuSFHjYoIbifQ6npRlC1nh2fHL88enGcIpSOrAImAmEpxVEdkGeDt+UvLA"
    "s3LV7h7U8fmEerOqAqv+6sh8K9czZk6YjfVVJJO+u3Ip97zfG0GZjHcaMsyxNPNVfmeeiC"
    "6P8leqolseUUyb42166fyd2CTmuuSH5UFrqqk0/VZa7HZHku5bSQMt6qDSQck3+D0n22bo"
    "Psqv7Y5fZYAcayxFOq/uwyw7IPn11uowa/ta8oN3CRtm/PvvwDvmGJug=="
)
