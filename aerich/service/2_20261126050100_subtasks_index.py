"""Find the subtasks of a task by an index. It is built without blocking writes, so it has a migration of its own."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = False


async def upgrade(db: BaseDBAsyncClient) -> str:
    await db.execute_script("DROP INDEX CONCURRENTLY IF EXISTS tasks_children")
    return "CREATE INDEX CONCURRENTLY tasks_children ON tasks (user_id, parent_id) WHERE parent_id IS NOT NULL"


async def downgrade(db: BaseDBAsyncClient) -> str:
    return "DROP INDEX IF EXISTS tasks_children;"


MODELS_STATE = (
    "eJztXW1z2zYS/isY3YcmM75MIiexL765GSlxEl380ouV61s6CkRCEmqSUEDQstrLf79dkO"
    "CbSEWUJZmyNNNpLRBLgvtgsYtnl+hfDZ/JG26xJ5/gj8Yr8lfDoy6DP7IXDkiDjsepZmxR"
    "tO/orgE0+rpP31eSWgoaB9TxGTTZzLckHysuPOx66TGC3YkYEDXiPjGPIV38Bf94QsGVqJ"
    "d+BPZtM6XgdytQowMyGXFrhH3FQDGPcI9QkBrBdZuCBPXZExyNLSwYDveGm35w4PGvAesp"
    "MWR4ER7/2+/QzD2b3TLf/Bxf9wacOXZG69zGG+j2npqOddvrEZVvdU98qX7PEk7geknv8V"
    "SNhBd3h3fG1iHzmKSK2SkwvMBxItBMUzhWaFAyYPEg7aTBZgMaOAgpSocjSNoavd7FZbd3"
    "ddrt9RqzcKM+lbhm3g+g8KD/B4O5kUMmuqslPJw73FO+VohLb3sO84ZqBD+bL158C5+caC"
    "bshg/5b+vj6/etj4+g12O8u4ApGE7Mi+hSM7z2Td8EkApvo5FIVM9cyp0q2o8FlgIgUm+s"
    "f9MlASAxoTsgMJDCJTEM4exnxKG+IhPJFVsGjsPm0wXggF6lcOhrCEeifv3fCto3/XdN+S"
    "u0hUT5lmSorB5VsxC8gSuKu6wYhqxkDgw7En1i/lhmYVoTNojEgMtqUMzRfLdzfnrVbZ3/"
    "iHdyff+ro5XX6p7ilaZuneZaH73MgRTfhPzU6b4n+JP8enlxqnUrfDWU+olJv+6vDRwTDZ"
    "ToeWLSo3ZaQabZNGUwl+yG+6iMGcTbfNjxVDHeaakc2qCkdeH7tCK41L6hnsV80p8SAZ5/"
    "wtWIMArOW4N9QtgNk1MC/8J3IZZwoa+2Vr6ogxri2P/+j2bz8PCo+fTw5fGL50dHL46fHk"
    "Nf/aKzl47mTJ92513nopudDdiQtVMcPUQeS9hpVnLL7DRZMU8I4mIpZwrRF649PgCn0cV+"
    "6cm5W8Y8EHIoEOBq1pwRq685I7YemzCYBQZiiMWFj47VhT0HmviIgrUz8LKSueKG2XU2Y0"
    "X9a0Ah8ArMuBSrrFB9wXL4DeACg/UPCMwvbZhfA6HoSWoFJsEY1xq/6nrbfPb86Pnx4cvn"
    "MT5xyzxYCiCQ1B9VxyArVV8QtP5hd2oTh/vKx62qjkNx/DlY7kf/OKzK6s8K1Vf72gS04u"
    "eZAGwHqO5178YAa2cPtud60hQ4ECEcRr1iSPKiOVD6ILsuVOKWCshMRpqSAcXjiLXTwFAQ"
    "/rChLXqRO4cP7cvLs0zk0O7kfMLFp/P26cdHz3TIAJ1wB1IIDfX8CZOVLSUvVl9bAe8tGS"
    "hfD9gHh064zdyxgKDEmpJrNs3b0P2YSKTQ/hTstFqMlZesLxSoYp//ySKiAsIrgwq4Dz3+"
    "u0Cx4RgLtOmzAjZ1HlSJTI1B0p49GKOlaCLbbGKpZCR8AdIPlKazqeOYcJhMWe12tsiCD6"
    "5TZCw29Kl1PaHS7mWuZAOHIguMxN5++MgcqooZCsP5n8E96rPFNRKLepyktREymTN7i7vq"
    "pxs5wYeon5R36aF3uaOqOsntPrDpQ1IaGqNoijLznL3kNt18C/XoUL8SPhuflLHAonSjMc"
    "056cZ4Bfh+urEVxtfoz9AsMNnHyFhyl0odW5h9kUnfYW7vyyPMAPa4fQCRyOMvJ7pDV0gl"
    "OHRwhc0cHTcKz5mSL9z+Mpts3NxjV5xqnOccC5ONSzrGtSUbxQQG8oOf0EQ0TOoiHtCssx"
    "XQfEI8HfZLFvh1pIrKs5RBEWyfPnXeFIMWFKIWQPMTFKrPetWgBAcEYAFiYA7h4wh1hTck"
    "aWS19Z8Q7rpBuCLcdbMWJitD8jZNy2r93GOOsm6OIpuGfPZ0kRww9CpNQ+pruTSkcISsou"
    "BYoM5Z4L9JORz2+7joOwK2U8SCJX+Z1O+81cRo/KhU30d5bcNk56owAViu8LRMnXWOK8bY"
    "oVZ6BYlWDrzbK5NO0BngZbBYy/yn0hrxm8Jd6zwOLi22JfxbyEqbAInAu91AFARN4W8RLA"
    "jKZki43SuPqLp9eBBJ1JCGXwbmrOQe5lrDHBFm1XY/KaHNcYMr3QRx3+yCdDmFNaLecNEw"
    "5F4YXNjxsuXMMSu5AnPcYNSCI0LHqN8h3KrCjbD02MEQ5mYHK9UiYqRKnJoSeYCbr5XVgM"
    "4w8Fmlz2r8rZCMD70PbKr13oFBYqHdHILUfD+wZQovo0WhWdJJTKelJxq8fLjw6KnZunrd"
    "enPa+Fae01grwaop/CKC1XD7cwjWOIWwCMGKnTfHq675aXs6dTE6FWHY06nbSqdiWljb+D"
    "3RqIorpxKPGgs8RF++EJHUnEMkNWeJJK0wTG/OarnLbsuKG9NCm9N0o7HEwjQQjs1soocc"
    "FqX4DGkwXfLowzKPANw5UD79uZuJkY3OH523fn6ciZPPLi/eme4pjF6fXbZndjXJy1QwgZ"
    "xYjbnX5RMKCzKqcynVGVNIDa6qQRSI1ljvabtIXUlbRz0twhLuWO/XK9LeGbl6896r4NlW"
    "yWcbzS3DaOdkt5Ndid4iz6+MmWevxHNsG8UCuykhuSpYHmEDc+oF7sx2P5sWTInXt3TyAp"
    "QHUp+9s8ufwOF89s5P33Q+nUMM9tl733n3/hU5rLR3OWwevYx3K/hj3v7k6rx1dlb0KdCw"
    "oAStJSWdln0GNCwqI3bWWNLY+Ocg8CzUIukH3IHYyn+Cz/tXxchtJdkGcCm//T6rxJJavv"
    "mKjIW2UJmZMBjmxMr9/IyW7YD1cFUv9hglIVRKZp6nqI+XoMSiEJTaFA/1mOpvS0Wg8IMR"
    "dB1/Cg+/Hr61nADkCL4evXuqGl1AgbKXSHzEUtvjlikZC9CRJvFgYDntmsmxW+5Yf+hWlV"
    "FMCS3lgzcYhuFQo8DLfFDCvb64rR91mAqRqGRedVQyYnXHRX8UpzlDFZ2KFH8UB1FzhJjh"
    "gMWYOOyGObUGbYdq3HzedwCBepe4QcSCRZDL7Dxzotvj4ZLqoAPCB3ECJck/mTfTFXC4Nh"
    "6QcNkgGNJFsO6eF9yX3e0EzPuyu52AeXfL7qJs+b7srqb+eV92V2iw8LaBy4qOnZiTMkvJ"
    "1D121jEYhGD/vrq8CNkzUN4Y8GQQQmtuDi0YIgkbozZ8SD3zZ/vyyH155D0FJltbHpn7bL"
    "+oUHL2y/45JZNFpwp8v3qyq88s9AGZ8DAofS6UWYrGegsDfwDgvoo+IjcljhBOZAogMwWP"
    "UgR4G7jwuKCIclMPvUMtZWGdRvlqttKSpbXUUlp4WCGeoaM3/5bDIxdZy4OwNZJVnH4sUG"
    "df0nBhGgpbF4iNqRqFFcE+vLOezCI5y12/juY+o4ZoftXP8/eFPe3ZfMj8giCtzT2w1GLE"
    "coL54hlzVFVNkEOgRtQf4XoFD4LlB0HEdwhBRPz0GbAGMN2Z405ssHhB8ryNE6o+DR5g1+"
    "5ctD7+Uoye6Z+OyNu/dE9bOfyiZbZi8JaVqrXNhYfy6uGGaYUJxNtjJsHZuAycBvxCXdiY"
    "/EPuk0kp5IJMZ46sbh4vQlY3j8vJarxWdOhblaUwkdgCXEwMkPl2wlQnHJitUT2XPjynbh"
    "aYUh7JdK89iaTP3zPH7eUPD/0xXE+u/nOmC9iC+zwzdPfI+QxPhH9HJ5IbF8RuxxyMijSf"
    "k5EIJBJ+KlwLdos32vMRez5i0wrfdj6ixSS3Ro0iHiK6dDCXf6BJp++xDuU6XfHXj3f+9D"
    "ECcNO79cWtfCUutXwjXpoxK19Iy/Nl+4W05P99hFZVQcNR9weo3TUd6eapwhwSbi3KvjCJ"
    "RfLBIbcU+R9ZZ3n2/STzzT6rfIuU3w3l4ja8Qbvakcqr92ff/g/tVKOm"
)
