import yaml
from yaml import SafeLoader


def pipeline(path):
    with open(path) as file:
        return yaml.load(file, Loader=SafeLoader)["steps"]
