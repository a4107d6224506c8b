"""The names in client certificates: their normal form, the reader's bound, and the ring."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.credentials import certificates
from sessionhistory_server.credentials.certificate_ring import CertificateRing
from sessionhistory_server.credentials.certificates import CertificateReader, normalized
from sessionhistory_server.credentials.identity import Identity
from support.certificates import Authority, alternative

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("DNS:orders.internal", "DNS:orders.internal"),
        ("dns:Orders.INTERNAL", "DNS:orders.internal"),
        ("DNS:orders", "DNS:orders"),
        ("DNS:_orders.xn--bcher-kva.internal", "DNS:_orders.xn--bcher-kva.internal"),
        ("DNS:" + ".".join(["x" * 63] * 3), "DNS:" + ".".join(["x" * 63] * 3)),
        ("URI:spiffe://corp/orders", "URI:spiffe://corp/orders"),
        ("uri:spiffe://corp/Orders?a=%20#b", "URI:spiffe://corp/Orders?a=%20#b"),
        ("URI:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",) * 2,
    ],
)
def test_a_name_has_one_form(name: str, normal: str) -> None:
    """The kind may have any case, and a host, too; a URI stays as it is."""
    assert normalized(name) == normal
    assert normalized(normal) == normal


@pytest.mark.parametrize(
    "name",
    [
        "",
        "orders.internal",
        "DNS",
        "DNS:",
        "DNS: orders",
        " DNS:orders",
        "DNS:orders ",
        "DNS:orders\n",
        "DNS:orders\0",
        "DNS:orders.",
        "DNS:.orders",
        "DNS:a..b",
        "DNS:*.internal",
        "DNS:-a.internal",
        "DNS:a-.internal",
        "DNS:a/b",
        "DNS:\u212aelvin",
        "DNS:b\u00fccher",
        "DNS:" + "x" * 64,
        "DNS:" + ".".join(["x" * 63] * 4),
        "URI:",
        "URI:orders",
        "URI:spiffe:",
        "URI:://corp",
        "URI:1a://corp",
        "URI:spiffe://corp/a b",
        "URI:spiffe://corp/\0",
        "URI:spiffe://corp/\u00e9",
        "URI:spiffe://corp/" + "x" * 2_048,
        "IP:10.0.0.1",
        "EMAIL:a@b",
        "CN:orders",
    ],
)
def test_other_texts_are_no_names(name: str) -> None:
    """They are neither registered nor found in a certificate."""
    assert normalized(name) is None


def test_certificates_are_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader keeps a limited number, and forgets the oldest."""
    monkeypatch.setattr(certificates, "_MAX_KNOWN", 2)
    authority, reader, parsed = Authority(tmp_path / "authority"), CertificateReader(), []
    parse = certificates._parse  # noqa: SLF001 - counted
    monkeypatch.setattr(certificates, "_parse", lambda data: parsed.append(data) or parse(data))
    issued = [authority.issue_for(name, alternative(f"DNS:{name}")).cert.read_text() for name in "abc"]
    for index, times in ((0, 1), (0, 1), (1, 2), (1, 2), (2, 3), (2, 3), (1, 3), (0, 4)):
        assert reader.read(issued[index]).names == (f"DNS:{'abc'[index]}",)
        assert len(parsed) == times
        assert len(reader._known) <= 2  # noqa: SLF001 - the bound


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_text_that_is_no_certificate_has_no_names(text: str) -> None:
    """TLS lets no such certificate through."""
    assert CertificateReader().read(text).names == ()


def test_a_registration_is_removed_by_its_id() -> None:
    """A change of an older registration of the name does not remove the newer one."""
    ring = CertificateRing()
    newer = Identity(
        "t", frozenset(), None, None, must_name_user=False, credential_id="new", expire_time=math.inf
    )
    ring.put("DNS:a", newer._replace(credential_id="old"))
    ring.put("DNS:a", newer)
    ring.remove("DNS:a", "old")
    assert ring.find(["DNS:b", "DNS:a"]) == [newer]
    ring.remove("DNS:a", "new")
    ring.remove("DNS:a", "new")
    assert ring.find(["DNS:a"]) == []
