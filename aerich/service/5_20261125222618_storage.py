"""Quotas of the trash and of kept answers, counted in the owner's row; and erasures that may be interrupted."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
ALTER TABLE idempotency_keys ADD COLUMN size integer NOT NULL GENERATED ALWAYS AS (
    octet_length(body) + octet_length(key) + octet_length(route) + 500
) STORED;
COMMENT ON COLUMN idempotency_keys.size IS 'What it counts in bytes; 500 of them for the row itself.';

ALTER TABLE users
    ADD COLUMN trash_count  integer NOT NULL DEFAULT 0 CHECK (trash_count >= 0),
    ADD COLUMN answer_count integer NOT NULL DEFAULT 0 CHECK (answer_count >= 0),
    ADD COLUMN answer_bytes bigint  NOT NULL DEFAULT 0 CHECK (answer_bytes >= 0),
    ADD COLUMN erased       bigint  NOT NULL DEFAULT 0;
COMMENT ON COLUMN users.trash_count IS 'Tasks in the trash; each write keeps it exact, for the quota.';
COMMENT ON COLUMN users.answer_count IS 'Kept answers to idempotency keys, for the quota.';
COMMENT ON COLUMN users.answer_bytes IS 'The size of these answers, for the quota.';
COMMENT ON COLUMN users.erased IS 'Tasks up to this version are erased, and still to be removed.';

UPDATE users SET trash_count = trash.size
FROM (SELECT user_id, count(*) AS size FROM tasks WHERE deleted_at IS NOT NULL GROUP BY user_id) AS trash
WHERE users.id = trash.user_id;
UPDATE users SET answer_count = kept.keys, answer_bytes = kept.bytes
FROM (SELECT user_id, count(*) AS keys, sum(size) AS bytes FROM idempotency_keys GROUP BY user_id) AS kept
WHERE users.id = kept.user_id;

CREATE INDEX users_erased ON users (id) WHERE erased > 0;
"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
DROP INDEX users_erased;
ALTER TABLE users DROP COLUMN trash_count, DROP COLUMN answer_count, DROP COLUMN answer_bytes, DROP COLUMN erased;
ALTER TABLE idempotency_keys DROP COLUMN size;
"""


MODELS_STATE = (
    "eJztXHtv2zgS/yqE/9kW8AWpkza95nCA3bqtd5N4r3FvX10ojETbPEukK1Jx3N1+952hHp"
    "ZkyWfFjlduAhRoTHIoan6cJ4f6o6GYf8NtdtBzmDeVmgl7/gObN16RPxqCegz+KBvSJA06"
    "naYGYIum164h4ovB1oTNlRl+rbRPbQ39Q+oqBk0OU7bPp5pLgVRtQahQM+YTLck1IyN+w6"
    "BpRLk4IIMxIw6FJ1DFvlNk6nOP+nMCsxOuyNWTANZhcadJfBlomBw6nl4d4IMdacOTuRjd"
    "4zMCwT8HzNJyxPSY+fCk336HZi4cdstU/HM6sYacuU6GwZOQm6bD0vOpaXw9pv5bMxRf4N"
    "qypRt4IjV8OtdjKZLx8ILYOmKC+VQzJ8VkEbhuhEvcFK4WGrQfsGSZzqLBYUMauAgVUodL"
    "WLQ1LOuiP7AuuwPLaizDSBUBHhDb5UxoYo+lYoTrPBLRxLYUuC240MpwxaO3lsvESI/hZ+"
    "v586/hwxfcCYfhc/7b/vD6ffvDExj1FGeXsLvC7XcRdbXCvq9mEsA1nMbAseC/wXIZgQG7"
    "1cUIJATbwSBuWICwEI8NUPBgI0oHNrtDplSPm4QLMhtze2zAwS3tMZAEoiSOREzWAmgFHo"
    "PuzwOcxFPqs5uG4cl5+2eDkDePes76F+/i4SnYXp/1OwatBTrX0plbDh8xpZcx6nAB8lmM"
    "Uo4wh9X1XDNVI7Tk0MDiM3iK0qB7cPmvTJsCThi8ZlyPAU+JCoZIwVAn+WwISsnZGLsOcj"
    "6NHUDX6V20P/xSDF48fiqVHvlmokbnl0G3nYNPaaoDtYzcpUddtydKJGxBlYMN3qRGoCE6"
    "oTEBwBZrXkPLjXBV/zhqnbx4Cb1m0fjjZAVCl+fts7PexSDH4DGjDvMLOPz9Zf+imLspkh"
    "x7HW5r8idxuaotm+VMkOgFmkQFoM7A3JxJm+Joo+26A7q5LkPurdZlebWVEwacoEiXVTE0"
    "8fha25kMOrjiJkHlSobSN3/U06wo/qXA5pcrpGh4rdXRbEw1OFrElgFwFe29sXKn5MdwX1"
    "7+5wzsCJuq9b2xUE+1nh2fHL88enGcKKukZZXGWlZWts+QTRYtsOVvoEdzjxUDkKXMq62I"
    "9CD+o1agQHixkBEyA3VlYo5ThAosOMjJSGoIlUjrmIxl4CviwrL9zeWmd969HLTPf8wIz5"
    "v2oIs9rYzgxK1PXuR0WzIJ+ak3eE/wJ/m1f9HNq7tk3ODXBq6JBlpaQs4s6qRZGTfHTZnd"
    "EUVXVYKhFEmdlWRM8XeFPxh7DieF0Q9ycJnjb6XP+EhAoG/43oNFUmEXBj1ReuBjNM+eMf"
    "xrvKPi1kYSA/t0lkTr6Y0GL+8wl+lwa7YvX7ffdBuGxdfUnsyo71gZXmOPbMlcSzJ2uctr"
    "efkWKujIMAffAtccs31A1aRRlK4xHc2VSRoNQ9bMzPQh2jBBImZNHFkhU8Kdp1enZCB9Lb"
    "kyIYuWrkMg3rnizhWhLgQyy1maHTxvg4xNkY7q8FGp91CooAp8h2jj7TxhI9gNWCafrR9J"
    "Ro7BP1uto6OT1uHRi5fPj09Onr88TDyE5a5VrkKn9w69hYwWi92H8syN5tot8OLKzUVC8C"
    "0ai8PDdYzF4WG5scC+rMNmGGYVZijLw5YM0e443WjcIXIZgnJgDjFLxsAlSpHFrlkgwgya"
    "An2yhSzLvYQy6beqIAs5sjvhFCmfegrEs8O1JAKHlYpE2FnK76qSUUBaY76nBSTVUywm9Z"
    "QNW3pTdNWKDLaULqOiJNxM0+VTx0B4Xzosabk/V7fQ/Pb7Zxned3p55n4873RBWAwQMIjr"
    "jI0u4Phdgvwc7RbC/B1Kiic9PO8CTzN6D+g7NZOhtLiMTJlwtnLOsm+BPXjr0ue6QFWCy9"
    "wVgbcUZGa2RZp8dwm4w4pb4AKYB1SfxFn/JzA+n8R5903v4zk4Zp/E+96796/I0c4PBzQd"
    "FZwMtH2flhyaxQQ5Nt/ngUDjX8NA2CZ7fx1wV3OhDvB5/67ozm1DD6JR+e33ZSYmNQxVGJ"
    "kQ7SEzM74x7IkmCQ/154T6bIsGf4nZDoTkqN6LTUeJV5WiWWUy6mMuKLEp+KkO9YlD55ip"
    "F5LgOskXKdgpYbe2GwANwVejaybrV7AarUABo6tb6AXV/thmGlnmHFvjHfGwTPHDO4HZil"
    "3YN5iDqXNHmLOUjzDXGuYb5qvCtM+qbHSKqNbH2eiCyJkwdQU+u+HKFHhoPBcAX4SqyXd4"
    "UqqwwpCK0Zq6fJeJ63TK6K4hcZZyf4yu4hDJEXP4zTVxOTP1CAgpgKHGmbjY5TcP0BLD2w"
    "bollTKH6Zo6nyEYWQXRRTDhrDwIax6gM2wQTnKrrOHjwUJjwUJf5N7srcFCYbtRQUJMR4r"
    "ChLwnSoUJOBwYgqnwSGIH0M6TGtobwd6nKiXsGzUPKcJFFhsxUVSSh3XFZyGM8E/6ACq4r"
    "KEnTx1y8UJ5fpqm6rqXmoTjCWREyawxDq4/h+z63uThHmUu1XseUJQ51PA6DqPcbVnPtdh"
    "VQ4gQmyXgtPp1NZ+m/8rwBGPf0TjXs5iH1zqKcyicz+C6gEGOXHcXi1Dkaaq74EfdW7QBV"
    "VYDoG3scz1LEbtcQj2KcGqujmJ0i14KAxjh770qpbf7zhZgasHX+UOcpql3DM5TTQqIIe4"
    "2NrFkxnUPQqAM+iGV/QWm/NhCXNyU6GaNGfI6ivOiK1gMwa7IMk2gptPSZSCC/MZ2tyxUW"
    "SEEo9XnEZS1rBmNn16rSaWuRG0jFopZFmi+mKGmUODi8K7+FNN2C1EjaiQF3rYoITgfg6k"
    "ppWg2tq9J5PzrI5Clqq+MBgEMvndesMRZiQr45Enqy8ghvlx3lVLkvocB16ZAGmpDwrJTf"
    "z1LUqesr5AmPv7/AsLE0ZMxdcAN0JgxxYEmKgKC2hXILSgqTE2RmsFUxQQk4KLPXUscQpf"
    "oBkW/2vuutHnYnzmyZv63ZJZyqeXZ3/TmcLlj/TkII5mePvDB+bSsqsCpR8Iqod3v3Hqfc"
    "mf2pRT8d28b4U/93qg0GYQi40bRUcKUVdz5aECXQz6f6cK5ZzYcj5+X28Krn9suBVfoTzT"
    "Xlr4Un7SUV728ngymznfSHloIFUVOBwN/wa5+2zdm2SrLpLluQtP1IX1H+Vf7kmR7MOXe7"
    "ZRk7e1D/FUcJG2b8++/gVcahYU"
)
