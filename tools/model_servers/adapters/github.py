"""The releases of a GitHub repository, by way of GitHub's own command ``gh``.

``gh`` finds the repository in the checkout, and its token in ``GH_TOKEN``.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from model_servers.errors import OutsideError

_ALL = "100000"


class GitHubReleases:
    """Announcements of the repository that a directory is a checkout of."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def tags(self) -> set[str]:
        """List the tags that have a release."""
        told = self._gh("release", "list", "--limit", _ALL, "--json", "tagName")
        return {one["tagName"] for one in json.loads(told)}

    def announce(self, tag: str, *, commit: str, title: str, notes: str) -> None:
        """Make a tag and its release, complete or not at all."""
        # Releases of models are no news for who waits for the tool's own.
        self._gh(
            *("release", "create", tag, "--target", commit, "--title", title),
            *("--notes-file", "-", "--latest=false"),
            body=notes,
        )

    def _gh(self, *arguments: str, body: str = "") -> str:
        try:
            done = subprocess.run(
                ["gh", *arguments],
                cwd=self._directory,
                input=body,
                capture_output=True,
                check=True,
                text=True,
            )
        except FileNotFoundError as error:
            raise OutsideError(
                "there is no gh, GitHub's command", hint="install it: cli.github.com"
            ) from error
        except subprocess.CalledProcessError as error:
            raise OutsideError(
                f"gh {arguments[0]} {arguments[1]}: {error.stderr.strip()}",
                hint="gh auth status",
            ) from error
        return done.stdout
