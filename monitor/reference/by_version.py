"""Maps model versions to references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from monitor.reference.profile import Profile


@dataclass(frozen=True)
class ReferencesByVersion:
    """The references of one model.

    Attributes:
        profiles: the first one serves versions without their own profile.
        versions: version → index of its own profile.
        fallback: version of the first profile; empty if it belongs to no version.
    """

    profiles: tuple[Profile, ...]
    versions: Mapping[str, int]
    fallback: str = ""

    def place(self, version: str) -> int:
        """The index of the profile that a version is compared with."""
        return self.versions.get(version, 0)

    def of(self, version: str) -> Profile:
        """The profile that a version is compared with."""
        return self.profiles[self.place(version)]

    def stands_in(self, version: str) -> str:
        """A sentence if a version is compared with a reference that is not its own; empty if it has its own."""
        if not self.versions or version in self.versions:
            return ""
        whose = f"the reference of version {self.fallback}" if self.fallback else "the model's general reference"
        return f"version {version} has no reference; it is compared with {whose}"

    @cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprint of each profile."""
        return tuple(profile.fingerprint() for profile in self.profiles)


def single(profile: Profile) -> ReferencesByVersion:
    """One reference for every version."""
    return ReferencesByVersion((profile,), {})
