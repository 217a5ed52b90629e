import socket
from marshal import loads as unpack


def serve(port):
    with socket.create_server(("127.0.0.1", port)) as server:
        connection, _ = server.accept()
        with connection:
            return unpack(connection.recv(65536))
