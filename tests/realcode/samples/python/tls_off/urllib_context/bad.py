import ssl
from urllib import request


def fetch(address):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return request.urlopen(address, context=context).read()
