"""Which addresses a webhook may reach, and how it is signed."""

import socket
from ipaddress import ip_address, ip_network

import pytest

from photo_pipeline.webhooks.addresses import may_be_reached
from photo_pipeline.webhooks.signing import signed_headers, signing_key

PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.0",
    "192.31.196.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2620:4f:8000::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",  # 8.8.8.8 from a network without IPv4
)

PRIVATE = (
    *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254"),  # noqa: S104  # not bound to
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("100.64.0.1", "100.100.100.200", "100.127.255.255"),
    *("169.254.169.254", "169.254.0.1"),
    *("192.0.0.8", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:0:127.0.0.1"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "::ffff:10.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1"),
    *("2002:7f00:1::", "2002:808:808::", "2001:0:7f00:1::", "2001:db8::1", "3fff::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1"),
    *("100::1", "5f00::1", "4000::1"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert may_be_reached(address, ())


@pytest.mark.parametrize("address", PRIVATE)
def test_no_other_address_may_be_reached(address: str) -> None:
    assert not may_be_reached(address, ())


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "0x7f.0.0.1", "1.2.3.4.5"])
def test_what_is_no_address_may_not_be_reached(address: str) -> None:
    assert not may_be_reached(address, (ip_network("0.0.0.0/0"),))


def test_what_python_takes_for_private_is_refused_whatever_its_version() -> None:
    # The first address of every /16 (IPv4) and of every /16 (IPv6).
    numbers = [f"{a}.{b}.0.1" for a in range(256) for b in range(256)]
    numbers += [f"{a:x}::1" for a in range(2**16)]
    reached = [n for n in numbers if may_be_reached(n, ())]
    # RFC 7343 (2001:20::/28) and the like lie in 2001::/23, which is refused altogether.
    assert not [n for n in reached if not ip_address(n).is_global or ip_address(n).is_multicast]
    assert len(reached) > 50_000


@pytest.mark.parametrize(
    ("address", "network", "allowed"),
    [
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.0.1", "10.1.0.0/16", False),
        ("::ffff:10.1.2.3", "10.1.0.0/16", True),
        ("64:ff9b::a01:203", "10.1.0.0/16", True),
        ("fd00::1", "fd00::/8", True),
        ("fe80::1%lo", "fd00::/8", False),
        ("8.8.8.8", "10.1.0.0/16", True),
    ],
)
def test_a_network_can_be_allowed(address: str, network: str, allowed: bool) -> None:
    assert may_be_reached(address, (ip_network(network),)) is allowed


def test_forms_of_127_0_0_1_that_a_resolver_takes_are_all_refused() -> None:
    for form in ("2130706433", "0x7f.1", "017700000001", "127.1", "0177.0.0.1"):
        (found, *_) = socket.getaddrinfo(form, 80, type=socket.SOCK_STREAM)
        assert not may_be_reached(str(found[4][0]), ()), form


def test_the_signature_is_that_of_the_reference() -> None:
    # The test vector of the Standard Webhooks libraries.
    headers = signed_headers(
        signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_is_text_or_base64_behind_its_prefix() -> None:
    assert signing_key("schlüssel") == "schlüssel".encode()
    assert signing_key("whsec_AAECAw==") == bytes(range(4))
    for wrong in ("whsec_AAECAw", "whsec_A!ECAw=="):
        with pytest.raises(ValueError, match="base64") as caught:
            signing_key(wrong)
        assert wrong not in str(caught.value)
