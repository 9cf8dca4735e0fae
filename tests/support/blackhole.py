"""A way to a TCP server that can forget its connections, as a firewall does: nobody is told, and new ones are fine."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Blackhole:
    """Listens at `port` and passes on to `target`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._live = threading.Event()
        self._live.set()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        """What is sent from now on over the connections that there are is taken, and gets nowhere."""
        self._live.clear()
        self._live = threading.Event()
        self._live.set()

    def close(self) -> None:
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink, self._live), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, live: threading.Event) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            if live.is_set():
                sink.sendall(data)
        if live.is_set():
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def blackhole(host: str, port: int) -> Iterator[Blackhole]:
    way = Blackhole((host, port))
    try:
        yield way
    finally:
        way.close()
