"""The conditions of a write: the versions that the task or list may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.errors import VersionMismatchError

MAXIMUM_BIGINT = 2**63 - 1  # the largest id, version or revision


class Expected(NamedTuple):
    """The conditions of a write: the item must be at one of `versions` (None: any), and at none of `excluded`.

    If `absent` is true, the item must not exist. If `mangled` is true, a proxy has changed the client's ETags, so that
    `versions` lacks some of them.
    """

    versions: Sequence[int] | None
    excluded: Sequence[int] = ()
    absent: bool = False
    mangled: bool = False

    @property
    def arrays(self) -> tuple[Sequence[int] | None, Sequence[int]]:
        """The arguments `expected` and `excluded` of the functions that write one item."""
        return () if self.absent else self.versions, self.excluded

    def admits(self, version: int) -> bool:
        """Return whether an item at `version` may be written. The functions check the same under the owner's lock."""
        return not self.absent and self._is_named(version) and version not in self.excluded

    def mismatch(self, version: int, document: str, noun: str = "task") -> VersionMismatchError:
        """Return the error for an item that may not be written. The `noun` is task or list."""
        if self._is_named(version):
            return VersionMismatchError(version, document, noun, excluded=True)
        return VersionMismatchError(version, document, noun, mangled=self.mangled)

    def _is_named(self, version: int) -> bool:
        return self.versions is None or version in self.versions
