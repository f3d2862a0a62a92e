"""`make serve` says what is wrong with an address before anything starts."""

import socket

import pytest

from address import fault


def test_a_free_port_will_do():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert fault(f"127.0.0.1:{port}") is None


def test_a_port_that_is_taken_is_told_with_a_cure():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "in use" in fault(address)
        assert "try make serve ADDRESS=" in fault(address)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("8000", "a host and a port"),
        ("127.0.0.1", "a host and a port"),
        ("127.0.0.1:http", "a host and a port"),
        ("", "a host and a port"),
        ("127.0.0.1:99999", "at most 65535"),
        ("no.such.host.invalid:8000", "no.such.host.invalid:8000: "),
    ],
)
def test_what_is_no_address_is_told(address, words):
    assert words in fault(address)
