import subprocess as sp


def archive(folder, target):
    command = ["tar", "czf", target, "-C", folder, "."]
    return sp.check_output(command)
