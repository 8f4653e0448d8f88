"""Speaks TLS before a server on this machine: tls.py CERTIFICATE KEY PORT

Prints the port that it listens on, and passes on what comes there. Ends with its standard input.
"""

import socket
import ssl
import sys
import threading


def copy(source, sink):
    """Copies until either end is closed."""
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(context, client, port):
    try:
        inside = context.wrap_socket(client, server_side=True)
    except OSError:
        return
    behind = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=copy, args=(behind, inside), daemon=True).start()
    copy(inside, behind)


def accept(listener, context, port):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(context, client, port), daemon=True).start()


def main(certificate, key, port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener, context, int(port)), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
