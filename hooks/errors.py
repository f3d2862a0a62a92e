"""The one error an author sees: where, what is wrong, and how to mend it."""

from mkdocs.exceptions import PluginError


class ContentError(PluginError):
    """Something in `docs/` or `snippets/` is not as it must be; the build stops."""

    def __init__(self, where: str, problem: str, cure: str) -> None:
        super().__init__(f"{where}: {problem}\n  Cure: {cure}")
