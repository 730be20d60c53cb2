"""A pooler of the tests' own: what PgBouncer does with `pool_mode = transaction`, in the strictest way.

Each transaction of a client goes to the connection to the server that has been free for the longest, so that whatever
is left behind in a session shows.
"""

import contextlib
import queue
import selectors
import socket
import struct
import threading

PARAMETERS = {"user", "database", "client_encoding", "datestyle", "timezone", "application_name"}
"""What PgBouncer takes in the start-up packet, unless its configuration says more."""
_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102


class Pooler:
    """Listens on a port of loopback until it is closed."""

    def __init__(self, server_socket, size=2, *, tells_server_process=False):
        """Take the path of the server's socket.

        `tells_server_process`: clients are given the process of a connection to the server as theirs.
        """
        self._server_socket, self._size = server_socket, size
        self._tells_server_process = tells_server_process
        self._servers, self._free = {}, {}
        self._lock = threading.Lock()
        self._clients = []
        self.started_with = []
        """The start-up parameters of each client."""
        self.prepared = []
        """The names of the statements that clients prepared."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()
        for connection in [*self._clients, *(each for servers in self._servers.values() for each in servers)]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def ask(self, statement):
        """Return the rows of a statement on each connection to the server: lists of texts."""
        answers = []
        for server in [each for servers in self._servers.values() for each in servers]:
            server.sendall(_message(b"Q", statement.encode() + b"\0"))
            rows = []
            while (received := _receive(server))[0] != b"Z":
                if received[0] == b"D":
                    rows.append(_columns(received[1]))
                assert received[0] != b"E", received[1]
            answers.append(rows)
        return answers

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError, EOFError):
            parameters = _startup(client)
            if parameters is None:
                return
            self.started_with.append(parameters)
            if unknown := sorted(parameters.keys() - PARAMETERS):
                client.sendall(_error("08P01", f"unsupported startup parameter: {unknown[0]}"))
                return
            free = self._free_servers(parameters)
            client.sendall(self._greeting)
            while self._relay_transaction(client, free):
                pass

    def _free_servers(self, parameters):
        key = parameters["user"], parameters["database"]
        with self._lock:
            if key not in self._servers:
                self._servers[key], self._free[key] = [], queue.Queue()
                for _ in range(self._size):
                    self._servers[key].append(self._open_server(*key))
                    self._free[key].put(self._servers[key][-1])
        return self._free[key]

    def _open_server(self, user, database):
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server_socket)
        body = b"".join(text.encode() + b"\0" for text in ("user", user, "database", database, ""))
        server.sendall(struct.pack("!ii", len(body) + 8, 196608) + body)
        greeting = b""
        while (received := _receive(server))[0] != b"Z":
            assert received[0] != b"E", received[1]
            is_key = received[0] == b"K"
            body = received[1] if not is_key or self._tells_server_process else bytes(8)
            greeting += _message(received[0], body)
        if not self._servers[user, database]:
            self._greeting = greeting + _message(b"Z", b"I")
        return server

    def _relay_transaction(self, client, free):
        """Relay what client and server say until the transaction is over; return False when the client leaves."""
        kind, body = _receive(client)
        if kind == b"X":
            return False
        server = free.get()
        try:
            self._relay(client, server, kind, body)
        except BaseException:
            server.close()  # which ends the transaction of a client that has left
            raise
        free.put(server)
        return True

    def _relay(self, client, server, kind, body):
        unanswered = self._forward(server, kind, body)
        status = b""
        with selectors.DefaultSelector() as selector:
            for each in (client, server):
                selector.register(each, selectors.EVENT_READ)
            while unanswered or status != b"I":
                for ready, _ in selector.select():
                    kind, body = _receive(ready.fileobj)
                    if ready.fileobj is client:
                        unanswered += self._forward(server, kind, body)
                        continue
                    client.sendall(_message(kind, body))
                    if kind == b"Z":
                        status = body
                        unanswered -= 1

    def _forward(self, server, kind, body):
        """Send a message of the client to the server; return how many times the server says that it is ready."""
        if kind == b"X":
            raise EOFError
        if kind == b"P" and not body.startswith(b"\0"):
            self.prepared.append(body.partition(b"\0")[0].decode())
        server.sendall(_message(kind, body))
        return int(kind in {b"Q", b"S"})


def _startup(client):
    while True:
        length, code = struct.unpack("!ii", _exactly(client, 8))
        body = _exactly(client, length - 8)
        if code in {_SSL, _GSS}:
            client.sendall(b"N")
        elif code == _CANCEL:
            return None
        else:
            texts = [text.decode() for text in body.rstrip(b"\0").split(b"\0")]
            return dict(zip(texts[::2], texts[1::2], strict=False))


def _error(code, text):
    return _message(b"E", b"".join(each.encode() + b"\0" for each in ("SFATAL", f"C{code}", f"M{text}", "")))


def _message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def _receive(connection):
    kind = _exactly(connection, 1)
    return kind, _exactly(connection, struct.unpack("!i", _exactly(connection, 4))[0] - 4)


def _exactly(connection, number):
    received = b""
    while len(received) < number:
        more = connection.recv(number - len(received))
        if not more:
            raise EOFError
        received += more
    return received


def _columns(body):
    columns, place = [], 2
    for _ in range(struct.unpack("!h", body[:2])[0]):
        (length,) = struct.unpack("!i", body[place : place + 4])
        place += 4
        columns.append(None if length < 0 else body[place : place + length].decode())
        place += max(length, 0)
    return columns
