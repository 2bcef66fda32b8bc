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
    "eJztXW1z2zYS/isY3YcmMz5PIiexL765GSlxEl380rOV61s6CkRCEmqSYEDQstrLf79dkJ"
    "BIilREvZmyNNNpLRBLgvtgsYtnl+hftYDJO26xw0/wR+01+avmUZfBH+kLB6RGfT/RjC2K"
    "dh3dNYTGQPfpBkpSS0FjjzoBgyabBZbkvuLCw65XHiPYnYgeUQMeEPMY0sZf8I8nFFyJe+"
    "lHYN8mUwp+N0I1OCDDAbcG2Ff0FPMI9wgFqQFctylI0IAd4mhsYcFwuNff9INDj38NWUeJ"
    "PsOL8Pjffodm7tnsngXmp3/b6XHm2CmtcxtvoNs7auTrtjcDKt/pnvhS3Y4lnND1Jr39kR"
    "oIb9wd3hlb+8xjkipmJ8DwQseJQTNN0VihQcmQjQdpTxps1qOhg5CidDSCSVut07m8andu"
    "ztqdTm0abtSnErfM+wEUHnb/YDA3MsjEd7WEh3OHeyrQCnHpfcdhXl8N4Gf95ctv0ZMnmo"
    "m64UP+27h+86Fx/QR6PcW7C5iC0cS8jC/Vo2vf9E0Aqeg2GomJ6plLuVNG+2OBhQCI1TvW"
    "v+kyAWBiQksg0JPCJWMYotnPiEMDRYaSK7YIHEf1Z3PAAb0K4dDXEI6J+vV/S2jf9N815a"
    "/QFibKtyRDZXWomobgLVxR3GX5MKQlM2DYseih+WORhWlN2CASPS7LQTFD8+3WxdlNu3Hx"
    "I97JDYKvjlZeo32GV+q6dZRpffIqA9L4JuSnVvsDwZ/k16vLM61bEai+1E+c9Gv/WsMx0V"
    "CJjieGHWonFWSaTVMKc8nueIDKmEK8yfstT+XjnZTKoA1KWhe+z0qCS+076lksIN0REeD5"
    "h1wNCKPgvDXYp4TdMTki8C98F2IJF/pqa+XzOqg+jv3v/6jXj46O68+OXp28fHF8/PLk2Q"
    "n01S86fel4xvRptt63Ltvp2YANaTvF0UPksYCdpiW3zE4nK+YpQVws5Ywg+sK1JwDgNLrY"
    "Lzk5d8uYe0L2BQJczppTYtU1Z8TWY0MGs8BADLG4CNCxurDnQBMfULB2Bl5WMlfcMbvKZq"
    "xocAsohF6OGRdilRaqLlgOvwNcYLDBAYH5pQ3zaygUPU2swCT0ca0Jyq639ecvjl+cHL16"
    "McZn3DILlhwIJA0G5TFIS1UXBK1/2J3axOGBCnCrquNQHH8GlofRPw6rtPrTQtXVvjYBrf"
    "hZJgDbAap7PbgxwNrZge25njQ5DkQIh1EvH5KsaAaULsiuC5VxSwlkhgNNyYDiccTaaWAo"
    "CH/Y0Ba/yNLhQ/Pq6jwVOTRbGZ9w+emieXb95LkOGaAT7kByoaFeMGSytKVkxaprK+C9JQ"
    "Pl6wEH4NAJt5nrCwhKrBG5ZaOsDT2MicQK7Y7ATsvFWFnJ6kKBKg74nywmKiC8MqiA+9Dj"
    "XwaKDcdYoM2A5bCps6CayFQYJO3ZQx8tRRPZZhNLJSPRC5BuqDSdTR3HhMNkxCq3s0UWvH"
    "ebIGOxoUut2yGVdid1JR045FlgLPbu4zVzqMpnKAznfw73qM4W10jM63EmrbWIyZzaWyyr"
    "n3bsBB+jfhLepYPeZUlVtSa3+8hGj0lpaIyiLorMc/qSW3ezLdSjff1K+Gx8UsoC89KNxj"
    "RnpBvHK8D3042NKL5Gf4Zmgck+RnzJXSp1bGH2RSZ9h7m9L08wA9jh9gFEIk+/nOoObSGV"
    "4NDBFTZzdNwoPGdEvnD7y3SycXOPXXGqcZZzzE02LugY15ZsFEMYyA/BhCaiUVIX8YBmna"
    "2A5lPi6bBfsjCoIlVUnKUM82D79Kn1Nh+0MBe1EJoPUag661WNEhwQgAWIgTlEjyPUFV6f"
    "JJHV1n9KuOuG0Yqw7GYtSlZG5G2SltX6ecAcZdUcRToN+fzZPDlg6FWYhtTXMmlI4QhZRs"
    "FjgSpngf8mZb/f7eKi7wjYThELlvxFUr+zVhOj8eNCfR9ntQ2TnavcBGCxwpMyVdY5rhi+"
    "Q63kChKvHHi31yadoDPAi2CxlvlPpTXgd7m71lkcXFJsS/i3iJU2ARKBd7uDKAiaot8inB"
    "OUzZBwu1ceUXb78CiSqBENvwjMack9zJWGOSbMyu1+EkKb4wZXugnigdkF6XIKa0C9/rxh"
    "yIMwuLDjZYuZY1pyBea4wagFR4SOUb9DtFWFG2HpsYMhzN0OVqrFxEiZODUh8gg3XyurAZ"
    "1i4NNKn9b4OyEZ73sf2UjrvQWDxEK7GQSp+X5gyxReRItCs6TDMZ2WnGjw8tHCo6dm4+ZN"
    "4+1Z7VtxTmOtBKum8PMIVsPtzyBYxymEeQhW7Lw5XnXNT9vTqfPRqQjDnk7dVjoV08Laxh"
    "+IRlVcOaV41LHAY/TlcxFJ9RlEUn2aSNIKw/TmtJbb7L6ouDEptDlN12oLLEw94djMJnrI"
    "UVFKwJAG0yWPASzzCMDSgfLZz+1UjGx0/uSi8fPTVJx8fnX53nRPYPTm/Ko5tauZvEwJE8"
    "iIVZh7XTyhMCejOpNSnTKFxODKGkSOaIX1nrSLxJWkdVTTIizh+nq/XpL2TslVm/deBc+2"
    "Sj7baG4RRjsju53sSvwWWX7FZ569Es+xbRQL7KaE5CpneYQNzJkXulPb/XRaMCFe3dLJS1"
    "AeSH32zq9+Aofz2bs4e9v6dAEx2GfvQ+v9h9fkqNTe5ah+/Gq8W8Efs/YnNxeN8/O8T4H6"
    "OSVoDSnpqOgzoH5eGbGzxpLG2j97oWehFkk35A7EVsEhPu9fJSO3lWQbwKX89vu0Egtq+W"
    "Yrciy0hcpMhcEwJ1bu56e0bIesg6t6vscoCKESMrM8RXW8BCUWhaDUpniox0h/WypChR+M"
    "oOv4U3j49fC95YQgR/D16PKpanQBOcpeIPExltoet0yJL0BHmsSDgWW0aybHbrlj/aFbWU"
    "YxIbSQD95gGIZDjQMv80EJ97rivnrUYSJEopJ55VFJiVUdF/1RnOYMVXwq0vijOIiaY8QM"
    "Byx84rA75lQatB2qcQt41wEEql3iJpkVSrAIKyeMKGZi0lJVB8Vlbhe/mpPMZ2gsAqC4Vx"
    "1wZ+YIoH/fXF3G1sR7hCtiCxadQBbJVJSo2ZfB7ULwsS+D2wmYd7cMLs5e78vgKroj3JfB"
    "5RosvG3osrxjIGaksBIyVQ+b9C6DBjo4itgsUJ4PeDIIaTVXhhYMkYSNQRM+pJph0r5ccV"
    "+u+ECBydaWK2Y+o88rXJz+0n5GCWPeV/7fr2Zs6zMEA0AmOpxJn9NkliJfb2HgDwA8UPFH"
    "3abkEMKJVEFiqgBRihBvAxee5hQ1buqhS9Q25tZNFK9mKy0hWktto4WHB+KZNno3bjk8dp"
    "GVPJhaI1mKLTECVfYlNRemobB1wZZP1SCq0A3gnfVkFpOz1fXraC4ybojnV/U8f1fYo47N"
    "+yzICdKa3ANLzUcsI5gtZjFHR1UEOQRqQIMBrlfwIFh+EER8hwhExE+fyWoA05057sR68x"
    "cIz9o4oeqT4AF2zdZl4/qXfPRM/2RE3vylfdaYIif1MlsyeEtLVdrmokNy9XAjmn8I8bbP"
    "JDgbl4HTgF+oCxuTcfg1LpNSRP9rh9Lkcf1kHvK4flJMHuO1vEPYyiyFE4ktwMXEAKlvGU"
    "y1wIHZGlVz6cNz46aBKeSRTPfKk0j6PDxz/F32MM8fo/Xk5j/nuqAsfMgzPHePnE/xRPh3"
    "fEK4cUHs3udgVKT+ggxEKJHwU9FasFu80Z6P2PMRm1b4tvMRDSa5Najl8RDxpYOZ/AOddP"
    "oe61Cs0xV/jbj0p4gxgJverc9v5StxqcUb8cKMWfFCWpwv2y+kBf8vIrSqEhqOuz9C7a7p"
    "iDVP5eaQcGtR9MXHWCQbHHJLkf+RdZZLP0wy3+yzirdI2d1QJm7DGzTLHXG8en/27f/TD3"
    "7F"
)
