"""Just enough HTTP/2 to break off in the middle of a gRPC call."""

import socket
import struct

from .raw import EXPORT

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS = 0, 1, 3, 4
_END_HEADERS = 4


def _frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _header(name, value):
    """One header, literal and not indexed, without Huffman coding (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _call(port):
    """The start of a gRPC Export call on stream 1."""
    headers = b"".join(_header(*pair) for pair in [
        (":method", "POST"), (":scheme", "http"), (":path", EXPORT), (":authority", f"127.0.0.1:{port}"),
        ("content-type", "application/grpc"), ("te", "trailers")])
    return _PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_HEADERS, 1, headers)


def message_cut_off(port, message):
    """Announces the whole gRPC message, sends half of it, and closes the connection."""
    announced = b"\x00" + struct.pack(">I", len(message)) + message[:len(message) // 2]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_call(port) + _frame(_DATA, 0, 1, announced))


def frame_cut_off(port):
    """Closes the connection in the middle of a frame."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_call(port) + _frame(_DATA, 0, 1, bytes(1000))[:100])


def stream_reset(port, message):
    """Sends half of the message and resets the stream, then closes."""
    announced = b"\x00" + struct.pack(">I", len(message)) + message[:len(message) // 2]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_call(port) + _frame(_DATA, 0, 1, announced) + _frame(_RST_STREAM, 0, 1, struct.pack(">I", 8)))


def garbage(port):
    """What is no HTTP/2 at all; whatever is answered is read until the other side closes."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(10)
        connection.sendall(bytes(range(256)) * 16)
        try:
            while connection.recv(4096):
                pass
        except ConnectionError:
            pass
