"""The mended search script."""

import pytest

from search import with_distinct_nodes


def test_nodes_with_one_text_are_told_apart():
    mended = with_distinct_nodes("for(;i<n;i++){var s=r[i];e=e+s+o.id}return e")
    assert mended == 'for(;i<n;i++){var s=r[i];e=e+s+o.id+","}return e'


@pytest.mark.parametrize("script", ["", "e=e+s+o.id}e=e+s+o.id}"])
def test_another_search_is_told(script):
    with pytest.raises(ValueError, match="no longer names its nodes"):
        with_distinct_nodes(script)
