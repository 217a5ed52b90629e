import yaml
from yaml import Loader


def pipeline(path):
    with open(path) as file:
        return yaml.load(file, Loader=Loader)["steps"]
