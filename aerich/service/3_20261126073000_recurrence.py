"""Add recurrence: the place of a task in its series, and the functions that create successors.

No row of `tasks` is rewritten: the new column has no default, and `document` is dropped and added again, because the
stored JSON lacks the new members. All replaced functions keep their arguments, so the old release can call them. For a
task that repeats, which only the new release creates, they may return `unplanned`, which the old release does not know;
it writes nothing then.
"""

from pathlib import Path

from tortoise import BaseDBAsyncClient

from service.database.functions import replacing, sources

RUN_IN_TRANSACTION = True

# In an order in which they can be created.
ADDED = ("build_document", "find_successor", "write_successor", "arrange_task")
REPLACED = (
    "task_document", "carry_family", "seat_new_task", "create_task", "update_task", "complete_task", "perform_batch",
    "perform_once", "import_tasks",
)  # fmt: skip

SCHEMA = """
ALTER TABLE tasks ADD COLUMN recurrence text;
-- An empty table has no stored JSON, and a dropped column would make each write dearer.
DO $$ BEGIN
    IF EXISTS (SELECT FROM tasks) THEN
        ALTER TABLE tasks DROP COLUMN document, ADD COLUMN document text;
    END IF;
END $$;

COMMENT ON COLUMN tasks.recurrence IS 'The members repeat to next_due of the JSON; null if the task does not repeat.';
COMMENT ON COLUMN tasks.document IS 'The task as JSON (task_document), for responses; built at read if null.';
"""


async def upgrade(db: BaseDBAsyncClient) -> str:
    return SCHEMA + replacing(sources((REPLACED[0], *ADDED, *REPLACED[1:])))


async def downgrade(db: BaseDBAsyncClient) -> str:
    old = sources(REPLACED, replaced=Path(__file__).with_name("1_functions.sql"))
    return f"""
DROP FUNCTION {", ".join(reversed(ADDED))};
ALTER TABLE tasks DROP COLUMN recurrence;
ALTER TABLE tasks DROP COLUMN document, ADD COLUMN document text;
{replacing(old)}
"""


MODELS_STATE = (
    "eJztXW1z2zYS/isY3YcmM75MIiexL765GSlxEl380ouV61s6CkRCEmqSYEDQstrLf79dkB"
    "BfRCqiLMmUpZlOa4FYEtwHi108u0T/agRM3nCLPfkEfzRekb8aHnUZ/JG9cEAa1PdTzdii"
    "aN/RXUNoDHSffqAktRQ0DqgTMGiyWWBJ7isuPOx66TGC3YkYEDXiATGPIV38Bf94QsGVuJ"
    "d+BPZtM6XgdytUowMyHnFrhH3FQDGPcI9QkBrBdZuCBA3YExyNLSwYDveGm35w6PGvIesp"
    "MWR4ER7/2+/QzD2b3bLA/PSvewPOHDujdW7jDXR7T0183fZ6ROVb3RNfqt+zhBO6XtLbn6"
    "iR8Kbd4Z2xdcg8JqlidgoML3ScGDTTFI0VGpQM2XSQdtJgswENHYQUpaMRJG2NXu/istu7"
    "Ou32eo1ZuFGfSlwz7wdQeNj/g8HcyCET39USHs4d7qlAK8Sltz2HeUM1gp/NFy++RU9ONB"
    "N1w4f8t/Xx9fvWx0fQ6zHeXcAUjCbmRXypGV37pm8CSEW30Ugkqmcu5U4V7U8FlgIgVu9U"
    "/6ZLAkBiQndAYCCFS6YwRLOfEYcGiowlV2wZOA6bTxeAA3qVwqGvIRyJ+vV/K2jf9N815a"
    "/QFhLlW5KhsnpUzULwBq4o7rJiGLKSOTDsWPSJ+WOZhWlN2CASAy6rQTFH893O+elVt3X+"
    "I97JDYKvjlZeq3uKV5q6dZJrffQyB9L0JuSnTvc9wZ/k18uLU61bEaih1E9M+nV/beCYaK"
    "hEzxPjHrXTCjLNpimDuWQ3PEBlzCDe5sOOp4rxTkvl0AYlrQvfpxXBpfYN9SwWkP6ECPD8"
    "Y65GhFFw3hrsE8JumJwQ+Be+C7GEC321tfJFHdQQx/73fzSbh4dHzaeHL49fPD86enH89B"
    "j66hedvXQ0Z/q0O+86F93sbMCGrJ3i6CHyWMJOs5JbZqfJinlCEBdLOROIvnDtCQA4jS72"
    "S0/O3TLmgZBDgQBXs+aMWH3NGbH12JjBLDAQQywuAnSsLuw50MRHFKydgZeVzBU3zK6zGS"
    "saXAMKoVdgxqVYZYXqC5bDbwAXGGxwQGB+acP8GgpFT1IrMAl9XGuCqutt89nzo+fHhy+f"
    "T/GZtsyDpQACSYNRdQyyUvUFQesfdqc2cXigAtyq6jgUx5+D5X70j8OqrP6sUH21r01AK3"
    "6eCcB2gOpe924MsHb2YHuuJ02BAxHCYdQrhiQvmgOlD7LrQmXaUgGZ8UhTMqB4HLF2GhgK"
    "wh82tMUvcufwoX15eZaJHNqdnE+4+HTePv346JkOGaAT7kAKoaFeMGaysqXkxeprK+C9JQ"
    "Pl6wEH4NAJt5nrCwhKrAm5ZpO8Dd2PicQK7U/ATqvFWHnJ+kKBKg74nywmKiC8MqiA+9Dj"
    "vwsUG46xQJsBK2BT50GVyNQYJO3ZQx8tRRPZZhNLJSPRC5B+qDSdTR3HhMNkwmq3s0UWfH"
    "CdImOxoU+t6zGVdi9zJRs4FFlgLPb2w0fmUFXMUBjO/wzuUZ8trpFY1OMkrY2IyZzZW9xV"
    "P93YCT5E/aS8Sw+9yx1V1Ulu94FNHpLS0BhFU5SZ5+wlt+nmW6hHh/qV8Nn4pIwFFqUbjW"
    "nOSTdOV4DvpxtbUXyN/gzNApN9jPiSu1Tq2MLsi0z6DnN7Xx5hBrDH7QOIRB5/OdEdukIq"
    "waGDK2zm6LhReM6EfOH2l9lk4+Yeu+JU4zznWJhsXNIxri3ZKMYwkB+ChCaiUVIX8YBmna"
    "2A5hPi6bBfsjCoI1VUnqUMi2D79Knzphi0sBC1EJqfoFB91qsGJTggAAsQA3OIHkeoK7wh"
    "SSOrrf+EcNcNoxXhrpu1KFkZkbdpWlbr5x5zlHVzFNk05LOni+SAoVdpGlJfy6UhhSNkFQ"
    "VPBeqcBf6blMNhv4+LviNgO0UsWPKXSf3OW02Mxo9K9X2U1zZMdq4KE4DlCk/L1FnnuGL4"
    "DrXSK0i8cuDdXpl0gs4AL4PFWuY/ldaI3xTuWudxcGmxLeHfIlbaBEgE3u0GoiBoin6LcE"
    "FQNkPC7V55RNXtw4NIokY0/DIwZyX3MNca5pgwq7b7SQltjhtc6SaIB2YXpMsprBH1houG"
    "IffC4MKOly1njlnJFZjjBqMWHBE6Rv0O0VYVboSlxw6GMDc7WKkWEyNV4tSUyAPcfK2sBn"
    "SGgc8qfVbjb4VkfOh9YBOt9w4MEgvt5hCk5vuBLVN4GS0KzZKOp3RaeqLBy0cLj56aravX"
    "rTenjW/lOY21Eqyawi8iWA23P4dgnaYQFiFYsfPmeNU1P21Ppy5GpyIMezp1W+lUTAtrG7"
    "8nGlVx5VTiUacCD9GXL0QkNecQSc1ZIkkrDNObs1rustuy4sa00OY03WgssTANhGMzm+gh"
    "R0UpAUMaTJc8BrDMIwB3DpRPf+5mYmSj80fnrZ8fZ+Lks8uLd6Z7CqPXZ5ftmV1N8jIVTC"
    "AnVmPudfmEwoKM6lxKdcYUUoOrahAFojXWe9ouUlfS1lFPi7CE6+v9ekXaOyNXb957FTzb"
    "Kvlso7llGO2c7HayK/Fb5PkVn3n2SjzHtlEssJsSkquC5RE2MKde6M5s97NpwZR4fUsnL0"
    "B5IPXZO7v8CRzOZ+/89E3n0znEYJ+9951371+Rw0p7l8Pm0cvpbgV/zNufXJ23zs6KPgUa"
    "FpSgtaSkk7LPgIZFZcTOGksaG/8chJ6FWiT9kDsQWwVP8Hn/qhi5rSTbAC7lt99nlVhSyz"
    "dfkVOhLVRmJgyGObFyPz+jZTtkPVzViz1GSQiVkpnnKerjJSixKASlNsVDPSb621IRKvxg"
    "BF3Hn8LDr4dvLScEOYKvR++eqkYXUKDsJRIfU6ntccuU+AJ0pEk8GFhOu2Zy7JY71h+6VW"
    "UUU0JL+eANhmE41DjwMh+UcK8vbutHHaZCJCqZVx2VjFjdcdEfxWnOUMWnIk0/ioOoOUbM"
    "cMDCJw67YU6tQduhGreA9x1AoN4lbhCxYBHkMjvPnOj2eLikOuiA8ME0gZLkn8yb6Qo4XB"
    "sPSLRsEAzpYlh3zwtKZoUS1GAVhJzlrF1Wqu4G7DK3j19YSuYzXFgFmO2t6kHoY46L+vfV"
    "5UW88sLk4YrYgkWn1UUyNSX19iWTu2Ci+5LJnYB5d0sm40qHfclkTWOrfclkocHC24YuKz"
    "oyZE66MyVT97BJx88QPmNwFDGfoDwf8GSw/dG8KlowRBI2Bk34kHqGSfvS1n1p6z0FJltb"
    "2po7cqGoyHX2VIY55a5FJ0J8v/K1q8+bDACZ6CAvfaaXWYp8vYWBPwDwQMUHAJjyVAgnMs"
    "WrmWJVKUK8DVx4XFAAu6mH3qEOtrDGpnw1W2m52VrqYC08aBLPP9K7ccvhsYus5SHmGslK"
    "bIkRqLMvabgwDYWti/t8qkZRNXcA76wns0jO4devo3nruCGeX/Xz/H1hT3o2H7KgIEhrcw"
    "8stRixnGC+8MkcM1YT5BCoEQ1GuF7Bg2D5QRDxHSIQET99fq8BTHfmuBMbLF5MPm/jhKpP"
    "gwfYtTsXrY+/FKNn+qcj8vYv3dNWDr94ma0YvGWlam1z0YHKerhRSmgM8bbPJDgbl4HTgF"
    "+oCxsTt8hbMymFXJClziUamseLJBqax+WJBrxWdGBflaUwkdgCXEwMkPnuxVSWHJitUT2X"
    "PjxjcBaYUh7JdK89iaTPTjRHJeYPfv0xWk+u/nOmiw/D+zzvdffI+QxPhH/Hp8kbF8RufQ"
    "5GRZrPyUiEEgk/Fa0Fu8Ub7fmIPR+xaYVvOx/RYpJbo0YRDxFfOpjLP9Ck0/dYh3KdrvjL"
    "1Tt/thoDuOnd+uJWvhKXWr4RL82YlS+k5fmy/UJa8v+tQquqoOG4+wPU7pqO4/NUYQ4Jtx"
    "ZlXwdNRfLBIbcU+R9ZZ2n9/STzzT6rfIuU3w3l4ja8Qbvacdir92ff/g8KPTLM"
)
