"""Only hosts that are trusted are asked, and nobody is fooled by how a URL looks."""

import pytest

from model_servers.core.origins import InModel, InStore, OnWeb, Trust, origin_of
from model_servers.core.spec import Checkpoint

TRUST = Trust(hosts=("example.org", "*.trusted.net", "local.test:8443"), max_bytes=100)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.pt",
        "https://EXAMPLE.org/a.pt",
        "https://example.org:443/a.pt",
        "https://a.trusted.net/a?b=c",
        "https://a.b.trusted.net/a",
        "https://local.test:8443/a",
    ],
)
def test_trusted_hosts_are_asked(url):
    assert TRUST.why_not_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org.evil.com/a",
        "https://evil.com/example.org",
        "https://evil.com?https://example.org/",
        "https://eviltrusted.net/a",
        "https://trusted.net/a",
        "https://example.org:8443/a",
        "https://local.test/a",
        "https://169.254.169.254/latest",
    ],
)
def test_other_hosts_are_not(url):
    assert "is not one of example.org" in TRUST.why_not_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a",
        "file:///etc/passwd",
        "https://example.org@evil.com/a",
        "https://me:secret@example.org/a",
        "https://evil.com\\@example.org/a",
        "https://[::1]/a",
        "https://example.org",
        "HTTPS://example.org/a",
        "",
    ],
)
def test_what_is_no_plain_https_url_is_not_opened(url):
    assert "is not https://host/path" in TRUST.why_not_url(url)


def test_what_is_too_large_is_not_fetched():
    large = Checkpoint(sha256="0" * 64, size_bytes=101, uri="s3://bucket/key")

    assert TRUST.why_not(large) == "it has 101 bytes; at most 100 are fetched"


@pytest.mark.parametrize(
    ("uri", "origin"),
    [
        ("s3://bucket/a/b.pt", InStore("bucket", "a/b.pt")),
        ("https://example.org/a", OnWeb("https://example.org/a")),
        ("weights/a.pt", InModel("weights/a.pt")),
    ],
)
def test_a_uri_says_where_weights_are(uri, origin):
    assert origin_of(uri) == origin
