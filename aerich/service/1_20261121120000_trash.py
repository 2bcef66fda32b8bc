"""An index of the trash alone, for its purge: live tasks pay nothing for it."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = False  # CONCURRENTLY, so that nobody waits, works outside of a transaction alone


async def upgrade(db: BaseDBAsyncClient) -> str:
    # What a build that was interrupted leaves behind is an invalid index, which IF NOT EXISTS would take for a good one.
    await db.execute_script("DROP INDEX CONCURRENTLY IF EXISTS tasks_trash")
    return """
CREATE INDEX CONCURRENTLY IF NOT EXISTS tasks_trash ON tasks (user_id, deleted_at, id) WHERE deleted_at IS NOT NULL
"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
DROP INDEX IF EXISTS tasks_trash;
"""


MODELS_STATE = (
    "eJztWvtz2jgQ/lc0/NJ0hsuk5HnNzc2QhDa0AW4a99rpYxxhC9DFlqglh3A9/vfb9QNjYx"
    "MgkJKmM51pWO1a8vdJ+5K/lxTzbrjFtg2qrksvyfeSoC6DP9IDZVKi/f6EGCWatp1AVYOK"
    "CnTaSnvU0iDsUEcxENlMWR7vay4FqrYEI7rHRZdoSWy5TYweIzaFR1HFninS97hLvSG5Zk"
    "PCFbna8mFCk9tlwu3nV8fEkJ6WXDEc1NKxieyQK25fEepIwbZxEba0YBUwxQPN5wv+zWem"
    "ll2me8yDWT9/BTEXNrtlKv7ZvzY7nDl2CmNu4wMCuamH/UB2wrt1oV8Fuvg2bdOSju+KRL"
    "8/1D0pxgZcaJR2mWAe1Qxn0J6P2AvfcSKOYjrCxSYq4SonbGzWob6DDKJ1uIBEVjLNZssw"
    "L2uGaZam2RXshnnEYwCinaUiepwlBe4RWLQKoOjiYn77vVLZ3T2s7OweHO3vHR7uH+0cgW"
    "6w8umhw1G4rAS38FEBevXX9aaBc0vYiOH2RMEosAHeQ6uAloQHzbXDpqk47VEvn4ixQYYL"
    "eLUsFzHys8iIBQkbyfFZno7Y4m4SXHprOkx0dQ9+VnZ2ZgD8d/Xd6Xn13RZoPU/D3IyGKu"
    "EYIp4gPLmyBXDOmC2FdrSxNxPsFztzoY1qhXCHg2m8Len2HaZZnoOR0mFU5AOessvA3QbD"
    "de3usWQNiM9yF63WBT7ZVeqbE/qPjPNovm+c1ICAAH1Q4jrlU3IQN6meBv0M8NLcZXegHt"
    "lmgLcj4+34j43Z9SWIeMSVLhMaI2P0HjB2HDyMDHrcYaTPhI0E3Zcto96oXRrVxl8pys6q"
    "Rg1HKoF0mJFuHWTOzfgh5EPdOCf4k3xqNWsB7lLprhfMmOgZn0q4JupraQo5MKk9iV4sjk"
    "WpPQHZhfS4Hk7vBwjxNeG7wXaow/tTEeZUqW0xaX530F/VUdxZcAs0ATyw+iIuWh/AoX0R"
    "jdpZ/X0DAskXcV5/ff6S7C6UC+xWDg/G0R9/zIr3l43qxcX0YdS0q6ZBr3oeHRYE9MggA7"
    "PD1dpwLv3R8YWFKJK2zx3NhdrG+f4sPbwfNGofjc9fszEbslr0OPnerCBgT9jM8mKb48Eo"
    "sSiEY5t6UBdAESCIkATXSf6FDP+YsFvL8cGG4KuF7vleUKNjygF68aCRWD2ecEGjYJGBNd"
    "4RTys6WB6jS+YLKcsV0L9pFcnPRLPft5ekOW35i+aNpvmGeSq3up3V0JkwergEb8k0Xw5g"
    "Kc8U8dgNx0UTqrG1pgi2/0DuUKWJ1aOiO6cvf8jez2QnYtkqLW35eIKu4lBcQCnGBOGaOB"
    "yCLmQ5SCmQoXqpUs3hN08wEkdN30U6UxMmP2MPcH9/nh7g/n5xDxDHRiNsfXeuc5uuiOA0"
    "4q+kx3hXvGXDqdo4i3N0QfE+es4jA3wU76hYmjgEjw7GlwWTGw1ePvRBwdasXp5Wz6CUQI"
    "jb1LoeUM82U1jjiKzIjGSsOz3kVtyshAraDcDBt8A1p2DPuzCK+ZhxYYTvtMCFEapjeymI"
    "NvE05IRpDfKqr3vkmrE+eDWtMEqRYJ4yWGh0eRCohMSbmfG9z3H4JPgHA2CVf230ILOu+P"
    "Ko2F+t0lWt5e4oiEfymglIJZTf/odZc9baa/Jc5Rn3Rcyl3JlG32C3BXne2GCDbzBKVAVJ"
    "QZDHDTyuw1tTYIRYDoWMxoZNe//coPbRSKUFMfBbjerH56nU4KLVfB2rTxB1etE6yeR0wf"
    "8L0BHr/2JjHWw8vb5G4Lw63IuoeoIZdFwULlb+Tlpt7gUHtW8wBVWkPSQSEoMBh9jPqNUL"
    "yT4m+NXDkES1PF6CgW7Hk+7cJ/THVMK4eshVljinactHdk7HHhWYQ14s7WDbH32PAuICdl"
    "FvcnM+rcOMDR1g2xc5G6PwLKeNNvc0Y4cjaFmpMiTwfU3YLRQgeLaTI0060gv2wDdfarrQ"
    "Ga682DvcO9o92Bsf3bFk1okNT+dUtVxc26XZyrnsPInMXr19xxxa9AVN5iO/zTim966hR2"
    "utfKsMnEavlFf7RkPlmdUvTZTuKn+LkVhx4fhYPzmcv7+1guNZnlESFrb/i0vy4ub/rxZi"
    "qhBPUMZTtQDCkfpPiO6LeT8bnPXV4PRHgwKyupyg/+ay1Sz6cm1skk0DIbEi/5F1fkHzY2"
    "4mEYzZNXO2PM6kaPiAk8Wi/erj2eh/bvJa9A=="
)
