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
        "A file cannot be read, or is not plain YAML where it must be.",
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
    NOT_EXCEPTED = (
        "MS004",
        "An exception is declared where none is possible.",
        (
            "What breaks the archive, endangers others or hides what is released"
            " cannot be allowed by the one who contributes it."
        ),
        "Mend the finding itself, and delete the exception.",
    )
    EXPIRED_EXCEPTION = (
        "MS005",
        "A declared exception has expired.",
        "An exception is a promise to mend something by a day; that day is over.",
        "Mend what was excepted, or have a review agree to a later day.",
    )
    UNUSED_EXCEPTION = (
        "MS006",
        "A declared exception matches nothing.",
        "It would silently cover the next finding of its kind.",
        "Delete the exception, or correct its code or path.",
        "hint",
    )
    NAME = (
        "MS010",
        "The model's name is not allowed, or is not its directory's name.",
        "The name is a place in TorchServe's URLs, a key in the store and a directory.",
        "Choose another name, and rename the directory to it.",
    )
    TWIN = (
        "MS011",
        "Another model's name differs only in case, or in - and _.",
        (
            "People and file systems take the two for one, and requests reach the"
            " wrong model."
        ),
        "Choose a name that nobody takes for the other's.",
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
    UNUSED_FILE = (
        "MS026",
        "Nothing uses a file of the model's directory.",
        (
            "A file that the model needs, but that is not listed, is missing where the"
            " model runs. Scripts, documents, hidden files and the directories docs/,"
            " notebooks/, scripts/, tests/ and training/ are taken for the author's."
        ),
        "List it in build.extra_files, move it to training/, or delete it.",
        "hint",
    )
    TIMEOUT = (
        "MS027",
        "A timeout in seconds looks like one in milliseconds.",
        (
            "TorchServe reads responseTimeout and startupTimeout in seconds; a hanging"
            " worker would be restarted only after hours."
        ),
        "Write seconds, such as 120.",
        "hint",
    )
    BATCH_DELAY = (
        "MS028",
        "A request that is alone waits long for others.",
        (
            "TorchServe holds a batch that is not full for maxBatchDelay milliseconds,"
            " so every request of a lone client takes at least that long."
        ),
        "Write a delay that a client does not notice, such as 5 milliseconds.",
        "hint",
    )
    DEAD_LINK = (
        "MS029",
        "A link leads to nothing, or to itself.",
        "It cannot be read, so it counts as a file that is not there.",
        "Correct the link, or delete it.",
        "hint",
    )
    NO_HANDLER = (
        "MS030",
        "The model file makes no handler.",
        "The shared handler takes the functions that handler_factory was given.",
        "End the file with `handler = handler_factory(init_function=init_function)`.",
    )
    SHADOWED = (
        "MS031",
        "A module of the archive hides one that others import.",
        (
            "The model's directory stands before the libraries on the worker's path:"
            " its json.py is what the worker, the handler and every library get when"
            " they import json."
        ),
        "Rename the file or directory, and what imports it.",
    )
    REQUIREMENTS = (
        "MS040",
        "A requirement is one that the serving environment brings.",
        "A second torch beside the host's takes gigabytes and breaks its CUDA.",
        "Remove the line.",
    )
    UNPINNED = (
        "MS041",
        "A requirement has no exact version.",
        (
            "The packages of a host are those of the day on which it installed the"
            " model, and not those that answered the golden requests."
        ),
        "Pin exact versions: `ms lock MODEL`.",
        "hint",
    )
    REQUIREMENT_OPTION = (
        "MS042",
        "A line of the requirements does more than naming a package.",
        (
            "The requirements are installed on hosts that have only the archive:"
            " editable installs, local paths and files that are not packed fail there,"
            " and a password in a URL is readable for everybody."
        ),
        "Name a package and its version; configure indexes on the host.",
    )
    CHECKPOINT = (
        "MS050",
        "The checkpoint is not the one that model.yaml declares.",
        "The release would serve other weights than those that were reviewed.",
        "Restore the checkpoint, or declare its sha256 and size: `ms lock`.",
    )
    LARGE_FILE = (
        "MS052",
        "A large file is part of the git repository.",
        (
            "Every clone carries every version of it for ever; a checkpoint that is"
            " declared with its sha256 can live elsewhere."
        ),
        "Keep weights out of git, and declare them below checkpoint: `ms lock MODEL`.",
        "hint",
    )
    GOLDEN = (
        "MS060",
        "The model has no golden case, or a case cannot be used.",
        "Golden requests gate the pull request, the release and the host's switch.",
        "Record a request and its answer: `ms golden MODEL --update`.",
    )
    UNRECORDED = (
        "MS061",
        "A golden case has no recorded answer.",
        "Without the answer that is right, no other can be told from it.",
        "Record the answer, and look at it: `ms golden MODEL --update`.",
    )
    INPUTS_CHANGED = (
        "MS070",
        "The inputs changed, but the version did not.",
        (
            "A released version never changes: hosts that have it would go on serving"
            " the old bytes under the same name."
        ),
        "Raise the version: `ms bump MODEL`.",
    )
    VERSION_FELL = (
        "MS071",
        "The version is lower than one that is there already.",
        "The channel latest would go on serving the higher one, and not this one.",
        "Raise the version above it: `ms bump MODEL`.",
    )
    SECRET = (
        "MS080",
        "A file holds what looks like a secret.",
        (
            "Everybody who can read the repository or an archive has it, also after it"
            " is deleted, because git keeps it. Text files of up to 1 MB are looked at."
        ),
        "Revoke the secret where it was issued, then take it out of the file.",
    )
    ABSOLUTE_PATH = (
        "MS081",
        "A path exists only on the author's machine.",
        "On a host there is no such file, so what needs it fails there.",
        "Use a path relative to the file: `Path(__file__).parent / name`.",
        "hint",
    )
    GPU_MEMORY = (
        "MS082",
        "A model for a GPU does not say how much of its memory it needs.",
        (
            "A host places models by system.maxGPUMemory; without it the model is"
            " placed blindly, and whoever comes last runs out of memory."
        ),
        "Add maxGPUMemory, in MB of 2^20 bytes, to the system: block.",
        "hint",
    )
    CLIENT_TIMEOUT = (
        "MS083",
        "Requests that wait too long are dropped without an answer.",
        (
            "TorchServe forgets a request that is older than clientTimeoutInMills"
            " instead of refusing it, so its client waits until its own timeout."
        ),
        "Leave clientTimeoutInMills out, and let clients set their own timeout.",
        "hint",
    )
