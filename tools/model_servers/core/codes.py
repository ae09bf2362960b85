"""Every kind of finding, once: its code, what it means, why, and how to mend it."""

from __future__ import annotations

from enum import Enum


class Severity(Enum):
    """What a finding does to a contribution."""

    ERROR = "error"
    """It must be mended."""

    HINT = "hint"
    """It is worth a look."""


class Code(Enum):
    """A kind of finding. A code never changes its meaning, and is never reused."""

    title: str
    """What is wrong, in one line."""

    why: str
    """What would happen otherwise."""

    fix: str
    """How to mend it."""

    severity: Severity

    def __new__(
        cls, value: str, title: str, why: str, fix: str, severity: str = "error"
    ) -> Code:
        """Make a member that is found by its code alone: ``Code("MS001")``."""
        code = object.__new__(cls)
        code._value_ = value
        code.title, code.why, code.fix = title, why, fix
        code.severity = Severity(severity)
        return code

    UNREADABLE = (
        "MS001",
        "The document cannot be read as YAML.",
        (
            "A document that every reader reads alike is plain YAML: no duplicate"
            " keys, no aliases, no bare word that YAML takes for something else."
        ),
        "Correct the YAML at the place that the finding names.",
    )
    SHAPE = (
        "MS002",
        "A key is missing, unknown, or has a value of the wrong kind.",
        (
            "TorchServe ignores keys that it does not know and values that it cannot"
            " use, so a mistake would only show in production."
        ),
        "Correct the key or the value; the finding says what is expected.",
    )
    TOO_NEW = (
        "MS003",
        "The document was written for a newer model-servers.",
        "This version cannot know what the document means.",
        "Install a newer model-servers.",
    )
    NAME = (
        "MS010",
        "The model's name is not allowed, or is not its directory's name.",
        "The name is a place in TorchServe's URLs, a key in the store and a directory.",
        "Choose another name, and rename the directory to it.",
    )
    MISSING_FILE = (
        "MS020",
        "A file that a document names does not exist.",
        "The archive could not be built.",
        "Add the file, or correct the path.",
    )
    OUTSIDE_MODEL = (
        "MS021",
        "A path leaves the model's directory, directly or through a link.",
        "The archive would depend on files that a review of the model does not show.",
        "Copy the file into the model's directory, and name the copy.",
    )
    COLLISION = (
        "MS022",
        "Two files would have the same place in the archive.",
        "One of them would silently replace the other.",
        "Rename one of the files.",
    )
    EXTRA_FILES = (
        "MS023",
        "system.extraFiles and build.extra_files do not agree.",
        (
            "The handler unpacks what system.extraFiles names; the build packs what "
            "build.extra_files lists."
        ),
        "Name the same archive in both, or leave system.extraFiles out.",
    )
    HANDLER_OPTION = (
        "MS024",
        "model-config.yaml asks for something that the shared handler does not know.",
        (
            "The shared handler refuses to load a model with an option that it does"
            " not know, since somebody relies on it."
        ),
        "Correct the option, or remove it; docs/handler.md lists what there is.",
    )
    CONTRADICTION = (
        "MS025",
        "Settings of model-config.yaml contradict each other.",
        (
            "TorchServe would ignore one of them without a word, or fail when the"
            " model is loaded."
        ),
        "Change one of the settings that the finding names.",
    )
    NO_HANDLER = (
        "MS030",
        "The model file makes no handler.",
        "The shared handler takes the functions that handler_factory was given.",
        "End the file with `handler = handler_factory(init_function=init_function)`.",
    )
    REQUIREMENTS = (
        "MS040",
        "A requirement is one that the serving environment brings.",
        "A second torch beside the host's takes gigabytes and breaks its CUDA.",
        "Remove the line.",
    )
    CHECKPOINT = (
        "MS050",
        "The checkpoint is not the one that model.yaml declares.",
        "The release would serve other weights than those that were reviewed.",
        "Restore the checkpoint, or declare its sha256 and size: `ms lock`.",
    )
    GOLDEN = (
        "MS060",
        "The model has no golden case, or a case cannot be used.",
        "Golden requests gate the pull request, the release and the host's switch.",
        "Record a request and its answer: `ms golden MODEL --update`.",
    )
