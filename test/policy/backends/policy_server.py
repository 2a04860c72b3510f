"""Policy servers for the tests, written from the protocol's description, not from our client.

On connecting the server sends one binary message, its metadata. Then it answers each binary message, an observation,
with one binary message, a map with `actions`; or with text, which is an error, and closes. Maps are msgpack; an array
is a map of the byte strings __ndarray__, data, dtype, shape.
"""

import base64
import contextlib
import hashlib
import socket
import threading

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve


def as_map(array):
    return {b"__ndarray__": True, b"data": array.tobytes(), b"dtype": array.dtype.str, b"shape": array.shape}


def encode(message):
    return msgpack.packb(message, default=as_map)


def decode(data):
    def array(found):
        if b"__ndarray__" not in found:
            return found
        return np.frombuffer(found[b"data"], found[b"dtype"]).reshape(found[b"shape"])

    return msgpack.unpackb(data, object_hook=array)


class PolicyServer:
    """Answers with what `answer(request)` returns: bytes, text (an error), or None for no answer at all."""

    def __init__(self, answer, metadata=None, port=0):
        self.requests = []
        self.headers = []
        self.connections = 0
        self._answer = answer
        self._metadata = metadata or {}
        self._server = serve(self._talk, "127.0.0.1", port, compression=None, max_size=None)
        self.port = self._server.socket.getsockname()[1]
        self._open = []
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    def _talk(self, connection):
        self.connections += 1
        self._open.append(connection)
        self.headers.append(dict(connection.request.headers.raw_items()))
        with contextlib.suppress(ConnectionClosed):
            connection.send(encode(self._metadata))
            for message in connection:
                self.requests.append(decode(message))
                answer = self._answer(self.requests[-1])
                if answer is not None:
                    connection.send(answer)
                if isinstance(answer, str):
                    connection.close(1011)

    def kill(self):
        """Go away without a closing handshake."""
        self._server.socket.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self):
        self._server.shutdown()
        self._thread.join()


class SilentServer:
    """Accepts, and does no more: with `handshake` it upgrades and sends metadata, but never reads a message."""

    def __init__(self, handshake):
        self._handshake = handshake
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(peer)
            if self._handshake:
                self._upgrade(peer)

    def _upgrade(self, peer):
        request = b""
        while b"\r\n\r\n" not in request:
            request += peer.recv(4096)
        lines = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
        key = next(value for name, value in lines.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        metadata = encode({})
        frame = bytes([0x82, len(metadata)]) + metadata  # final, binary, unmasked
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade + accept + b"\r\n\r\n" + frame)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.connections:
            peer.close()
        self._thread.join()
