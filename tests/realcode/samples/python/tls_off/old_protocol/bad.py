import socket
import ssl


def connect(host):
    context = ssl.SSLContext(ssl.PROTOCOL_TLSv1)
    return context.wrap_socket(socket.create_connection((host, 443)))
