"""Free TCP ports on loopback."""

import itertools
import random
import socket

# Below the kernel's range for outgoing connections (32768 up on Linux), so that between our look and the
# server's bind no client connection can take the port. Starts at random so that parallel runs do not meet.
_candidates = itertools.cycle(random.sample(range(20000, 32000), 12000))


def free_port():
    """A port that nobody listens on and that this process has not handed out lately."""
    for port in _candidates:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
