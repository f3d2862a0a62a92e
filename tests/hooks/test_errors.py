"""The one error an author sees."""

import pytest
from mkdocs.exceptions import PluginError

from errors import ContentError


def test_it_says_where_what_and_how_to_mend_it():
    message = str(ContentError("docs/a.md", "no title", "add `title`"))
    assert message == "docs/a.md: no title\n  Cure: add `title`"


def test_mkdocs_stops_at_it_without_a_traceback():
    with pytest.raises(PluginError):
        raise ContentError("docs/a.md", "no title", "add `title`")
