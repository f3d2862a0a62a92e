"""Whether `make serve` can have an address: says why not, and ends, where it cannot."""

import re
import socket
import sys


def fault(address: str) -> str | None:
    """What is wrong with a host and a port such as 127.0.0.1:8001; None if nothing."""
    parts = re.fullmatch(r"([^\s:]+):(\d+)", address)
    if not parts:
        return f"ADDRESS is a host and a port, such as 127.0.0.1:8001, not {address}"
    host, port = parts[1], int(parts[2])
    if port > 65535:
        return f"{address}: a port is at most 65535"
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        return f"{address}: {error.strerror}; try make serve ADDRESS=127.0.0.1:8001"
    return None


if __name__ == "__main__":
    if said := fault(sys.argv[1]):
        sys.exit(f"make: {said}")
