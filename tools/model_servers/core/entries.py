"""How released versions are called in a model store: directories or archives."""

from __future__ import annotations

from enum import Enum

from model_servers.core.names import Ref

_ENDING = ".mar"


class Layout(Enum):
    """What TorchServe registers a version from."""

    DIR = "dir"
    """A directory, which it links."""

    MAR = "mar"
    """An archive, which it unpacks at every registration and at every start."""

    @property
    def ending(self) -> str:
        """What the names of entries end in."""
        return _ENDING if self is Layout.MAR else ""

    def entry(self, ref: Ref) -> str:
        """Name the entry of a version.

        >>> Layout.MAR.entry(Ref.parse("digits@1.0.0"))
        'digits-1.0.0.mar'
        """
        return f"{ref.entry}{self.ending}"


def layout_of(ref: Ref, entry: str) -> Layout | None:
    """Say in which layout *entry* is one of *ref*; None if it is in none.

    >>> layout_of(Ref.parse("digits@1.0.0"), "http://example.org/digits-1.0.0.mar")
    """
    return next((one for one in Layout if one.entry(ref) == entry), None)


def ref_of(entry: str) -> Ref | None:
    """Read the name of an entry; None if it cannot be one of ours.

    >>> str(ref_of("digits-1.0.0.mar")), ref_of("digits.mar")
    ('digits@1.0.0', None)
    """
    name, _, version = entry.removesuffix(_ENDING).rpartition("-")
    try:
        return Ref.parse(f"{name}@{version}")
    except ValueError:
        return None
