import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import urls
from storage.copies import Copies
from storage.settings import StorageSettings
from storage.urls import Location

_NAMES = st.text(st.characters(categories=["L", "N"], include_characters="-_.= "), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket/a/b.csv", Location("s3", "bucket", "a/b.csv")),
        ("gs://bucket/", Location("gs", "bucket", "")),
        ("az://box/a", Location("az", "box", "a")),
        ("abfs://box@films.dfs.core.windows.net/a/", Location("az", "box", "a", "films")),
    ],
)
def test_url_has_parts(url: str, place: Location) -> None:
    assert urls.parse(url) == place


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "s3://b/a//b", "s3://b/../x", "gs://b/./x", "s3://b*/x"])
def test_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must have"):
        urls.parse(url)


@pytest.mark.parametrize("path", ["/a/s3", "a", "http://s3/a", "ftp://b/x", "s3:/a", "C://x"])
def test_other_paths_are_no_objects(path: str) -> None:
    assert not urls.is_object(path)


@given(st.sampled_from(["s3", "gs", "az"]), st.lists(_NAMES, min_size=2, max_size=5))
def test_copies_have_distinct_paths_below_their_folder(scheme: str, names: list[str]) -> None:
    copies = Copies("/root/inputs", StorageSettings())
    url = f"{scheme}://{'/'.join(names)}"
    assert copies.path_of(url) == f"/root/inputs/{url.replace('://', '/')}"
    assert urls.parse(url).path == "/".join(names)
