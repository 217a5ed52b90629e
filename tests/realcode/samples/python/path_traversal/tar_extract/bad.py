import tarfile


def install(archive, target):
    tar = tarfile.open(archive, "r:gz")
    tar.extractall(path=target)
    tar.close()
