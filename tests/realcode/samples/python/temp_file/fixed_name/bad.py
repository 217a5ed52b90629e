import os


def dump(report):
    path = os.path.join("/tmp", "report.txt")
    with open(path, "w") as file:
        file.write(report)
    os.system("lp /tmp/report.txt")
