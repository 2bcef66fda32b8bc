"""What texts are found and sorted by: keys that Python folds, beside the text."""

from tortoise import BaseDBAsyncClient

from service.text import with_keys

RUN_IN_TRANSACTION = True

PAGE_SIZE = 1_000  # tasks

# Compared by byte, whatever the locale of the database is.
COLUMNS = """
ALTER TABLE tasks
    ADD COLUMN title_key text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN description_key text COLLATE "C",
    ADD COLUMN tag_keys text[] COLLATE "C" NOT NULL DEFAULT '{}';
COMMENT ON COLUMN tasks.title_key IS 'the folded title, by which it is found and sorted';
COMMENT ON COLUMN tasks.description_key IS 'the folded description, by which it is found';
COMMENT ON COLUMN tasks.tag_keys IS 'the folded tags, as they are found';
"""

PAGE = """
SELECT user_id, id, title, description, tags FROM tasks
WHERE (user_id, id) > ($1, $2) ORDER BY user_id, id LIMIT $3::int
"""

KEYS = """
UPDATE tasks SET title_key = $3, description_key = $4, tag_keys = $5 WHERE user_id = $1 AND id = $2
"""


async def upgrade(db: BaseDBAsyncClient) -> str:
    await db.execute_script(COLUMNS)
    last: tuple[str, int] = ("", 0)
    while page := await db.execute_query_dict(PAGE, [*last, PAGE_SIZE]):
        keyed = [with_keys(task) for task in page]
        names = ("user_id", "id", "title_key", "description_key", "tag_keys")
        await db.execute_many(KEYS, [[task[name] for name in names] for task in keyed])
        last = (page[-1]["user_id"], page[-1]["id"])
    return """
DROP INDEX tasks_title;
CREATE INDEX tasks_title ON tasks (user_id, title_key, id) WHERE deleted_at IS NULL;
"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
DROP INDEX tasks_title;
ALTER TABLE tasks DROP COLUMN title_key, DROP COLUMN description_key, DROP COLUMN tag_keys;
CREATE INDEX tasks_title ON tasks (user_id, (lower(title) COLLATE "C"), id) WHERE deleted_at IS NULL;
"""


MODELS_STATE = (
    "eJztXHtv2zgS/yqE/9kW8AWpkza9ZrGA3bqtb5N4r3H32YVCS7TNs0S6IhXHt9fvfjPUw5"
    "Isea3EceUmwAKNSQ5JzY/z5HD/aijmX3ObHfQc5s2kZsJe/MgWjVfkr4agHoM/yoY0SYPO"
    "ZqkB2KLp0DVEfDnYmrKFMsOHSvvU1tA/oq5i0OQwZft8prkUSNUWhAo1Zz7RkgwZGfNrBk"
    "1jysUBGUwYcSisQBX7TpGZzz3qLwjMTrgiV08C2IfFnSbxZaBhcuh4enWACzvShpW5GN/j"
    "GoHgnwNmaTlmesJ8WOmPP6GZC4fdMBX/nE2tEWeuk2HwNOSm6bD0YmYaX0+o/9YMxQ8YWr"
    "Z0A0+khs8WeiJFMh4+EFvHTDCfauakmCwC141wiZvC3UKD9gOWbNNZNjhsRAMXoULqcAvL"
    "toZlXfQH1mV3YFmNVRipIsADYrucCU3siVSMcJ1HIprYlgKPBRdaGa549MZymRjrCfxsPX"
    "/+JVx8yZ1wGK7zc/vD6/ftD09g1FOcXcLpCo/fRdTVCvu+mEkA13AaA8eS/wbLVQQG7EYX"
    "I5AQbAeDuGEJwlI87oCCBwdROnDYHTKjetIkXJD5hNsTAw4eaY+BJBAlcSRishFAa/AYdH"
    "8d4CSeUp/dNAxPztu/GoS8RdRz1r94Fw9Pwfb6rN8xaC3RGUpnYTl8zJRexajDBchnMUo5"
    "whxWw4VmqkZoyZGBxWewitKge3D7r0ybAk4YvOZcTwBPiQqGSMFQJ/lsBErJuTN2HeR8Gj"
    "uArtO7aH/4rRi8ePxMKj32zUSNzm+DbjsHn9JUB2oVuUuPum5PlEjYkioHG3xJjUBDdEJj"
    "AoAt97yBlhvjrv5x1Dp58RJ6zabxx8kahC7P22dnvYtBjsETRh3mF3D4X5f9i2Lupkhy7H"
    "W4rcn/iMtVbdks54JEH9AkKgB1BubmTNoURxtt1x3Qu+sy5N56XZZXWzlhwAmKdFkVQxOP"
    "r7WdyaCDO24SVK5kJH3zRz3Niu0zZJ1FC6zKG+jR3GPFoGQp8wIUkR7Ef9QIqPkEHN0lWm"
    "QOgmO831PwztCWAGJjqcFpJ61jMpGBr4gL2/bvjmDvvHs5aJ//lIHxTXvQxZ5WBsK49cmL"
    "nJQlk5BfeoP3BH+S3/sX3bzgJeMGvzdwTzTQ0hJyblEnzcq4OW7KnI7Iz6/ilqdI6iyuMc"
    "XXcsQxChpNC/1w5OAqx99Kn/GxgJDT8L0Hm6TCLnS/o0D1YzTPnjH8S3yi4tZGEo35dJ7E"
    "jemDBh/vMJfp8Gi2L1+333QbhsVDak/n1HesDK+xR7ZkriUZu9rltbx8CxV0bJiDX4F7jt"
    "k+oGraKEocmI7m2nSBhiEb5gj64PeacAXjd0dWiNm58/TqlAykryVXxnnW0nUIeN5X3Lki"
    "1AWXejVfsIP17pA7KNJRHT4udawLFVSBUx0dvJ2nDgS7Bsvks81jmsiV/merdXR00jo8ev"
    "Hy+fHJyfOXh4ljvdq1zs3u9N6hk53RYrHXXZ5D0Fy7BTmEcnOREHyLxuLwcBNjcXhYbiyw"
    "L+uwGYZZhbmycgc6Q7Q7Tjcat/ChR6AcmEPMltGFjpI1sWsWiDCXo0CfbCHevxenOv1VFW"
    "QhR3YrnCLlU0+BeHa4kUTgsFKRCDtL+V1VMgpIa8z3tICkeorFpJ6yYUtvhq5akcGW0mVU"
    "lISbabp8EhMI70uHJS335+oWmt9+/yzD+04vz9yP550uCIsBAgZxnbHRBRy/TZCfo91CmL"
    "9DSfGkhzcv4GlG3wF9p2YylBaXkRkTzlYy/vsW2IO3Ln2uC1QluMxdEXgrQWbmWKTJd5eZ"
    "Pqx4BC6AeUD1SZz1fwHj80mcd9/0Pp6DY/ZJvO+9e/+KHO08Ta3puCBH3fZ9WnJ9ExPk2H"
    "yfqenG96NA2CaPPAy4q7lQB7jeDxXduW3oQTQqf/y5ysTkNr0KIxOiPWRmxjeGM9Ek4fXy"
    "glCfbdHgrzDbgZAc1Xux6SjxqlI060xGfcwFJTYFP9WhPnHoAu+IhSS4T/JfKdgpYTe2Gw"
    "ANwU+jG17ir2E1WoECRle30Euq/bHNNLLMObbGJ+JhmeKHdwOzFbuwbzAHM+eWMGcpH2Gu"
    "NczXzFeFaZ912egUUe3rPORcmBtun11zZUoNNN4LgC9C1fQ7vClVWOtGxXhDXb7LxHU6ZX"
    "TbkDhLuT9GV3GI5Ii5/OaauByMLg/vwQEMNcnExS6/foCWGL42QLekUv4wRVPnKwwjuyii"
    "GDaEhQ9h1QMchlPyU8jJy3+fkSljM7Vxmequs4ePBQmPBQlfyT3Z24IEw/aigoQYjzUFCf"
    "hNFQoScDgxJbzgEMTLkA7TGtrbgZ4k6iUsYDTrNIECi624SIp647qC03Am+A86gKq4LGEn"
    "q265OKFcX21TVd1LbYKxJHLKBBb7BsP/MLu+bxqYR7lbxZ4nBHW+BYwelhhXe+5zHVblAC"
    "LEdik4nU5t7bf5twIc8fhHNB6Lf7d3gc79CKoHGOTEcXu1DEWaqr4XftS5RhdUYTkEvgsy"
    "D4UYtSch2KcEq+oWJEq34KUwjB350tv8Wd5XSVbg7sFXuYWcZin3TE4TjQrIIS62dvFmBn"
    "WPAuAMuuFjseXhfFjCnLxUqCbNGbL6ijNiK9icwSlIso3g5lMSpeDCfIaeUFPzNEaJx8c2"
    "YylrWDObvr1WUwAjKEo0lUKWJaovZpg5NLgofBU+04TdQNSICnmphw1KCO7nQGpaCarWs+"
    "OT45dHL44ThJKWdcCEIKykOMoD8nTwtvqCPydp0Qxvf/zAXFpWvVn6fw+oh8K9czZk5Yjf"
    "lVPxc4lvhT/3muNpMzCPk0ZRlifqaq7N89DloL9L9JRzYsspkn19vLF5JncLOq25JvlReh"
    "dZnnwqv4l8TJZnUk5LLqNUVeBwNPwb5O6zTYv719X257kLK+rCK7nyZ/0pkn141r+NMomt"
    "vdKv4CJt3559+T9cOZig"
)
