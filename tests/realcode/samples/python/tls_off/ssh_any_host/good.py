import paramiko


def deploy(host, key):
    client = paramiko.SSHClient()
    client.load_host_keys("/etc/deploy/known_hosts")
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(host, username="deploy", pkey=key)
    return client
