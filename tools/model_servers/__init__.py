"""A model registry that is a git repository, served by TorchServe."""

__version__ = "0.1.0"
