"""The conditions of a write: the versions that the task or list may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.errors import VersionMismatchError

MAXIMUM_BIGINT = 2**63 - 1  # the largest id, version or revision

EXCLUDED = (
    "If-None-Match excludes this write, because the {noun} exists at version {version}; compare your change with "
    "'current' and try again."
)
CHANGED = (
    "The {noun} has changed since you read it, and is now at version {version}; compare your change with 'current', "
    "and send it again with that version."
)
MANGLED = (
    'A proxy that compresses responses has changed the ETag in If-Match (to W/"…", or with a suffix such as -gzip), so '
    "it can never match; send the version as 'if_version' in the body, without If-Match."
)


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
        unnamed = MANGLED if self.mangled else CHANGED
        reason = EXCLUDED if self._is_named(version) else unnamed
        return VersionMismatchError(reason.format(noun=noun, version=version), document)

    def _is_named(self, version: int) -> bool:
        return self.versions is None or version in self.versions
