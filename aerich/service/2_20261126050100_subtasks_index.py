"""Find the subtasks of a task by an index. It is built without blocking writes, so it has a migration of its own."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = False


async def upgrade(db: BaseDBAsyncClient) -> str:
    await db.execute_script("DROP INDEX CONCURRENTLY IF EXISTS tasks_children")
    return "CREATE INDEX CONCURRENTLY tasks_children ON tasks (user_id, parent_id) WHERE parent_id IS NOT NULL"


async def downgrade(db: BaseDBAsyncClient) -> str:
    return "DROP INDEX IF EXISTS tasks_children;"


MODELS_STATE = (
    "eJztXW1z2zYS/isY3Yc6Mz6PIzuxL765GSlxEl380rPl61s6CkRCEmoSUEjQstrLf79dkJ"
    "BIilREvZmyNNNpLRBLgvtgsYtnl+hfFZ95D9xiB3fwR+UN+asiqMvgj+SFfVKh/X6sGVsU"
    "bTu6awCNvu7T9pVHLQWNHer4DJps5lse7ysuBXa9FoxgdyI7RPW4T8xjSBN/wT9CKrgS9d"
    "KPwL51phT8rgWqt08GPW71sK/sKCYIF4SCVA+u2xQkqM8OcDS2tGA4XHTX/eBA8K8BaynZ"
    "ZXgRHv/b79DMhc0emW9+9u9bHc4cO6F1buMNdHtLDfu67W2Peu91T3ypdsuSTuCKce/+UP"
    "WkGHWHd8bWLhPMo4rZMTBE4DgRaKYpHCs0KC9go0Ha4wabdWjgIKQoHY5g3FZpta6um63b"
    "82arVZmEG/Wp5D0TP4DCg/YfDOZGCpnorpYUOHe4UL5WiEsfWw4TXdWDn9VXr76FTx5rJu"
    "yGD/lv7ebtx9rNHvR6gXeXMAXDiXkVXaqG177pmwBS4W00EmPVM5dyp4j2RwJzARCpd6R/"
    "02UMwNiEFkCg40mXjGAIZz8jDvUVGXhcsXngOKoezgAH9MqFQ19DOMbq1/8toH3Tf9uUv0"
    "RbGCvf8hgqq0XVJATv4IriLsuGISmZAsOORA/MH/MsTCvCBpHocK8YFFM032xcnt82a5c/"
    "4p1c3//qaOXVmud4papbh6nWvdcpkEY3IT81mh8J/iS/Xl+da91KX3U9/cRxv+avFRwTDZ"
    "RsCTloUTuuINNsmhKYe+yB+6iMCcTrvNsQKhvvuFQKbVDSqvA9LAgutR+osJhP2kMiwfMP"
    "uOoRRsF5a7DPCHtg3pDAv/BdiCVd6Kutlc/qoLo49r//o1o9OjqpHh69Pn11fHLy6vTwFP"
    "rqF528dDJl+tQbHxpXzeRswIakneLoIfKYw06Tkhtmp+MV84wgLpZyhhB94drjA3AaXewX"
    "n5zbZcwd6XUlAlzMmhNi5TVnxFawAYNZYCCGWFz66Fhd2HOgifcoWDsDL+sxVz4wu8xmrK"
    "h/DygEIsOMc7FKCpUXLIc/AC4wWH+fwPzShvk1kIqexVZgEvRxrfGLrrfVl8cnx6dHr49H"
    "+IxapsGSAYFH/V5xDJJS5QVB6x92pzZxuK983KrqOBTHn4LlafSPwyqs/qRQebWvTUArfp"
    "oJwHaA6l5PbgywdrZge64nTYYDkdJhVGRDkhZNgdIG2VWhMmopgMygpykZUDyOWDsNDAXh"
    "DxvaohdZOHyoX19fJCKHeiPlE67uLuvnN3svdcgAnXAHkgkNFf6AeYUtJS1WXlsB7+0xUL"
    "4esA8OnXCbuX0JQYk1JPdsmLahpzGRSKHtIdhpsRgrLVleKFDFPv+TRUQFhFcGFXAfevyL"
    "QLHmGAu06bMMNnUaVGOZEoOkPXvQR0vRRLbZxFKPkfAFSDtQms6mjmPCYTJkpdvZIgveuY"
    "+RsdjQptb9gHp2K3ElGThkWWAk9v7TDXOoymYoDOd/AfcozxbXSMzqccatlZDJnNhbLKqf"
    "ZuQEn6N+Yt6lhd5lQVU1xrf7xIbPSWlojLIq88xz8pJbddMtVNCufiV8Nj4pYYFZ6UZjml"
    "PSjaMV4PvpxloYX6M/Q7PAZB8jfY+71NOxhdkXmfQd5va+7GEGsMXtfYhEXnw50x2a0lOS"
    "QwdX2szRcaMUzpB84faXyWTj+h675FTjNOeYmWyc0zGuLNkoBzCQH/wxTUTDpC7iAc06Ww"
    "HNZ0TosN9jgV9Gqig/SxlkwXZ313iXDVqQiVoAzQcoVJ71qkIJDgjAAsTAHMLHEepK0SVx"
    "ZLX1nxHuukG4Iiy6WQuTlSF5G6dltX6eMEdZNkeRTEO+PJwlBwy9ctOQ+loqDSkd6RVR8E"
    "igzFngv3let9tu46LvSNhOEQuW/HlSv9NWE6Pxk1x9n6S1DZOdq8wEYL7C4zJl1jmuGH2H"
    "WvEVJFo58G5vTDpBZ4DnwWIl8596Vo8/ZO5ap3FwcbEN4d9CVtoESATe7QGiIGgKf8tgRl"
    "DWQ8JtX3lE0e3Ds0iihjT8PDAnJXcwlxrmiDArtvuJCa2PG1zqJoj7ZhekyymsHhXdWcOQ"
    "J2FwYcfL5jPHpOQSzHGNUQuOCB2jfodwqwo3wtJjB0OYhy2sVIuIkSJxakzkGW6+llYDOs"
    "HAJ5U+qfH30mO8Kz6xodZ7AwaJhXZTCFLz/cCGKTyPFoVmjw5GdFp8osHLhwuPnpq127e1"
    "d+eVb/k5jZUSrJrCzyJYDbc/hWAdpRBmIVix8/p41RU/bUenzkanIgw7OnVT6VRMC2sbfy"
    "IaVXHlFOJRRwLP0ZfPRCRVpxBJ1UkiSSsM05uTWm6yx7zixrjQ+jRdqcyxMHWkYzOb6CGH"
    "RSk+QxpMlzz6sMwjAAsHyuc/NxMxstH53mXt5xeJOPni+uqD6R7D6O3FdX1iVzN+mQImkB"
    "IrMfc6f0JhRkZ1KqU6YQqxwRU1iAzREus9bhexK3HrKKdFWNLt6/16Qdo7IVdu3nsZPNsy"
    "+WyjuXkY7ZTsZrIr0Vuk+ZU+E/ZSPMemUSywm5IeVxnLI2xgzkXgTmz3k2nBmHh5SyevQH"
    "kg9VlcXP8EDuezuDx/17i7hBjss/jY+PDxDTkqtHc5qp68Hu1W8Me0/cntZe3iIutToG5G"
    "CVrN8+gw7zOgblYZsbPCksbKPzuBsFCLpB1wB2Ir/wCf96+CkdtSsg3gUn77fVKJObV80x"
    "U5EtpAZSbCYJgTS/fzE1q2A9bCVT3bY+SEUDGZaZ6iPF6CEotCUGpTPNRjqL8tlYHCD0bQ"
    "dfwpBX49/Gg5AcgRfD26eKoaXUCGsudIfIykNsctU9KXoCNN4sHAUto1k2O73LH+0K0oox"
    "gTmssHrzEMw6FGgZf5oISLtnwsH3UYC5Gox0RxVBJiZcdFfxSnOUMVnYo0+igOouYIMcMB"
    "yz5x2ANzSg3aFtW4+bztAALlLnHblVJthQPblVJtBczbW0oVZUB3pVQl3VXsSqkyDRbeNn"
    "BZ1lECU9IgMZmyx0M6UqU++fft9VXIiIDy+oAng7BI8y1owRBJ2IR39EPKmRPZlbztSt6e"
    "KDDZ2JK31KfYWcVvk19rTymDy/pS/PsVcU19Dp0PyIQH/OizfsxS1NdbGPgDAPdV9GGwKV"
    "uDcCJR1JYoYvNkgLeBCy8yCuPW9dAF6uMyc+/5q9lSy1BWUh9n4QF0eC6KZkMsh0cuspSH"
    "G2skizj9kUCZfUnFhWkobV3006eqF1Z5+vDOejLL8fnc+nU0nxU1RPOrfJ6/Le1hy+Zd5m"
    "cEaXUuwFKzEUsJpgsizPFDJUEOgepRv4frFTwIlh8EEd8hBBHx0+d6GsB0Z447sc7sRabT"
    "Nk6o+jh4gF29cVW7+SUbPdM/HpHXf2me11L4RctsweAtKVVqmwsPWtXDDaniAcTbfeaBs3"
    "EZOA34hbqwMaGDX3Qyz5Ph/x6gMAFZPZ2FgKye5hOQeC3rIK8iS+FYYgNwMTFAoh7eZJz3"
    "zdaonEsfnj02CUwuj2S6l55E0meqmSPU0gdC/hiuJ7f/udBFScFTngO5feR8gifCv6NTpo"
    "0LYo99DkZFqsekJwMPCT8VrgXbxRvt+IgdH7FuhW86H1FjHrd6lSweIrq0P5V/oONO32Md"
    "8nW65C/aFv6cLQJw3bv12a18KS41fyOemzHLX0jz82W7hTTn/2eDVlVAw1H3Z6jdFR3TJV"
    "RmDgm3FnlfDYxE0sEhtxT5H1llye3TJPPNPit/i5TeDaXiNrxBvdgxucv3Z9/+D+qd758="
)
