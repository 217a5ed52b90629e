import ssl
from urllib import request


def fetch(address):
    context = ssl.create_default_context(cafile="/etc/ssl/company.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return request.urlopen(address, context=context).read()
