"""What the journeys need of the world outside, in our words.

Every port promises which errors come out of it: ``OutsideError`` where the other
side fails, with a hint; adapters wrap everything else.
"""

from model_servers.ports.hosts import (
    NO_OVERLAY,
    HostMemory,
    ModelServer,
    ModelStore,
    RequestCounts,
)
from model_servers.ports.models import (
    ArchiveWriter,
    BlobCache,
    GoldenFiles,
    HandlerProbe,
    History,
    ModelTexts,
    NewModels,
    Pages,
    Registry,
    Stage,
)
from model_servers.ports.stores import (
    Announcements,
    Archives,
    Chunks,
    Content,
    Journal,
    OnBytes,
    PassingArchive,
    PassingArchives,
    ProbedStore,
    Releases,
    Store,
)

__all__ = [
    "NO_OVERLAY",
    "Announcements",
    "ArchiveWriter",
    "Archives",
    "BlobCache",
    "Chunks",
    "Content",
    "GoldenFiles",
    "HandlerProbe",
    "History",
    "HostMemory",
    "Journal",
    "ModelServer",
    "ModelStore",
    "ModelTexts",
    "NewModels",
    "OnBytes",
    "Pages",
    "PassingArchive",
    "PassingArchives",
    "ProbedStore",
    "Registry",
    "Releases",
    "RequestCounts",
    "Stage",
    "Store",
]
