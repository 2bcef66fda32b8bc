"""What lists read: the JSON of each task, written once when it changes and not at every read."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True

# A generated column wants an immutable expression. `to_json` and `to_char` are only stable, because there are types and
# patterns that depend on the session; none of those is used here. PL/pgSQL, because PostgreSQL would look into a
# function in SQL, and find that out.


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
CREATE FUNCTION task_document(
    id bigint, user_id text, title text, description text, completed boolean, completed_at timestamptz,
    priority smallint, tags text[], due_date date, due_at timestamptz, created_at timestamptz, updated_at timestamptz,
    version bigint, deleted_at timestamptz
) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    moment CONSTANT text := '"\\""YYYY-MM-DD"T"HH24:MI:SS.US"Z\\""';
BEGIN
    RETURN '{"id":' || id
        || ',"user_id":' || to_json(user_id)
        || ',"title":' || to_json(title)
        || ',"description":' || coalesce(to_json(description)::text, 'null')
        || ',"completed":' || completed
        || ',"completed_at":' || coalesce(to_char(completed_at AT TIME ZONE 'UTC', moment), 'null')
        || ',"priority":"' || (ARRAY['none', 'low', 'medium', 'high'])[priority + 1]
        || '","tags":' || array_to_json(tags)
        || ',"due_date":' || coalesce(to_json(due_date)::text, 'null')
        || ',"due_at":' || coalesce(to_char(due_at AT TIME ZONE 'UTC', moment), 'null')
        || ',"created_at":' || to_char(created_at AT TIME ZONE 'UTC', moment)
        || ',"updated_at":' || to_char(updated_at AT TIME ZONE 'UTC', moment)
        || ',"version":' || version
        || coalesce(',"deleted_at":' || to_char(deleted_at AT TIME ZONE 'UTC', moment), '')
        || '}';
END
$$;
COMMENT ON FUNCTION task_document IS 'A task as answers give it; deleted_at only of one in the trash.';

ALTER TABLE tasks ADD COLUMN document text NOT NULL GENERATED ALWAYS AS (task_document(
    id, user_id, title, description, completed, completed_at, priority, tags, due_date, due_at, created_at, updated_at,
    version, deleted_at
)) STORED;
COMMENT ON COLUMN tasks.document IS 'the task as answers give it; PostgreSQL keeps it';
"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
ALTER TABLE tasks DROP COLUMN document;
DROP FUNCTION task_document;
"""


MODELS_STATE = (
    "eJztW3tv2zgS/yqE/9kW8AWpkza9ZrGA3bqtb5N4r3H32YVCS7TFs0S6IhXHt9fvfjPUw5"
    "Isee3EceUmQIHG5AxFzY+ct/5qKBZcc5sd9BzmT6Vmwp7/yOaNV+SvhqA+gz+qSJqkQafT"
    "DAGOaDr0DBNfEFsTNleGfKh0QG0N8yPqKQZDDlN2wKeaS4FcbUGoUDMWEC3JkJExv2YwNK"
    "ZcHJCBy4hD4QlUse8UmQbcp8GcwOqEK3L1JIR9WNxpkkCGGhaHiadXB/hgR9rwZC7G9/iM"
    "UPDPIbO0HDPtsgCe9MefMMyFw26YSn5OJ9aIM8/JCXgSSdNMWHo+NYOvXRq8NaT4AkPLll"
    "7oiwz5dK5dKVJ6eEEcHTPBAqqZkxGyCD0vxiUZinYLAzoIWbpNZzHgsBENPYQKuaMtLMYa"
    "lnXRH1iX3YFlNZZhpIqADIjtcSY0sV2pGOG6iES8sC0FHgsutDJS8emN5TEx1i78bD1//i"
    "V6+EI6ERk+5+f2h9fv2x+eANVTXF3C6YqO30U81YrmvphFANdoGQPHQv4Gy2UEBuxGlyOQ"
    "MmwHg2RgAcLietwBBR8OonTgsDtkSrXbJFyQmctt14CDR9pncBOIkkiJmKwF0Ao8Bt1fB7"
    "iIr9RnLwvDk/P2rwYhfx7PnPUv3iXkGdhen/U7Bq0FOkPpzC2Hj5nSyxh1uID7WY5SgbGA"
    "1XCumaoRWnJkYAkYPEVp0D24/VdmTIEkDF4zrl3AU6KCIVIw1EkBG4FScu6MXQcln8UOoO"
    "v0LtoffisHL6GfSqXHgVmo0flt0G0X4FOa6lAtI3fpU8/riYobtuAqwAZvUiPQEJ3ImABg"
    "iz2voeXGuKt/HLVOXryEWbNp/HGyAqHL8/bZWe9iUBCwy6jDghIJ/+uyf1Eu3QxLQbwOtz"
    "X5H/G4qq2Y5UyQ+AWaRIWgzsDcnEmbIrXRdt0BvbsuQ+mt1mVFtVW4DLhAmS7bxNAk9LW2"
    "Mzl0cMdNgsqVjGRg/qinWbEDhqKzaIlVeQMzmvusHJQ8Z/ECxawHyR81AmrmgqO7QIvM4O"
    "IY7/cUvDO0JYDYWGpw2knrmLgyDBTxYNvB3RHsnXcvB+3zn3IwvmkPujjTykGYjD55Ubhl"
    "6SLkl97gPcGf5Pf+Rbd48VK6we8N3BMNtbSEnFnUyYoyGU6Gcqcj9vM3ccszLHW+rgnH13"
    "LEMQoaTUr9cJTgssTfyoDxsYCQ08i9B5ukwi51v+NA9WO8zp4J/EtyopLRRhqNBXSWxo3Z"
    "gwYv7zCP6ehoti9ft990G0bEQ2pPZjRwrJyscUa2ZGEkpV2e8lt+cYQKOjbCwbfAPSdiH1"
    "A1aZQlDsxEc2W6QAPJmjmCPvi9JlzB+N2RG8Ts3Hl6dUoGMtCSK+M8a+k5BDzvK+5cEeqB"
    "S72cL9jB8+6QOyjTUR0+rnSsSxVUiVMdH7ydpw4EuwbLFLD1Y5rYlf5nq3V0dNI6PHrx8v"
    "nxycnzl4epY708tcrN7vTeoZOd02KJ112dQ9BceyU5hGpzkTJ8i8bi8HAdY3F4WG0scC7v"
    "sGV3toGcC2y3knZ8sOsp7GeHa0kbySrFHU0WHGTpT9G0lCkYKT1GRYV7nOUrJl2A8b5Odz"
    "pyf6a5VF30+2c5r7bTK0YfH887XQDASB+IuM7plBKJ3yYoKfBuISzZzak34aMvfcwUg2WM"
    "3wPmTs1imLH0GJky4WwlQ7lvgQh4FzLguiRrACa+K0J/ySnOHYss++4yaYcbHoELEB5wfR"
    "Jn/V9AoX0S5903vY/nYEg+ife9d+9fkaOdp9U0HZfk1NpBQCvSzQlDQcz3mUprfD8KhW3y"
    "XsOQe5oLdYDP+6Gxez2IWZc//izabPBqUeOUa7MKg53hWaXF6qPBKLEpmGOHBhAXzLHMIi"
    "TBfZL/god/StiN7YXAQ/DV6Jp1sBWiRsVUIujNjcaCa3/MBY2NRUGsyYl4WNbh4SUxt6Kq"
    "9g3mcOrcEuY85yPMtYb5mgWqNLpdldDJMNW+VCpnwhSJAnbNlanWaUytKYLpv++w2KCwXY"
    "SK8Zq6fJe5n2wm4rZRWp5zf4yu4hBcEFM/4pp4HIwuj0pJAIZyc6Gax68foCWGtw3RLVk+"
    "EdXV3SxPnbOA5u7iFcVKe1Q7jAqHcBhOyU+RJC//fUYmjE3V2p1eu674Ptb0Hmt6X8k92d"
    "uanhF7WU0vwWNFTQ/faYOaHpIT0wUHDkHyGNJhWsN4O9Ruql6iHiDznCZwYL8CF2lfXFKa"
    "O41Wgn8wAVzllb2dPHXL9b1qfbVNVXUv5T1jSeSECeyXC4f/YXZ924KZT7m3iT1PGWpcZE"
    "p6s42rPQu4jgrbgAixPQpOp1Nb+23+3wCOhP4Rjcf+ua25wSMexFA9wCAnids3y1Bkuepb"
    "g6LONbqgigznprXe9NozarsR2KcEG1PmJE63YJ0SaEeB9Nf/suWrJCtw9+Cr3OKe5jn37J"
    "6mGhWQQ1xs7WFlBnWPAuAMutH3FovD+bAuc9rsu9ltzrHV9zojtoLNGJyCNNsIbj4lcQou"
    "ymdol5rG5zHeeOxXH0tZw7azbFVaTQCMsCzRVAlZnqm+mGHm0OCi8MPKqSbsBqJGVMgLPW"
    "xQQnA/h1LTjaBqPTs+OX559OI4RSgdWQVMBMJSiqM6IM8Gb8sfwRZuWrzC2x8/MI9WNalV"
    "foBbD4V752zI0hG/q6SSjuNvRT73muNpMzCPbqMsyxNPNVfmeeiC6O8SPdWS2HKKZF/7n9"
    "fP5G5BpzVXJD8qa5HVyafqSuRjsjyXclpIGW/VBhKOyb9B6T5bt4d5VQvzcgez0KUlueov"
    "YzMs+/Bl7DbaJLb2oesGLtL27dmX/wNAQg/p"
)
