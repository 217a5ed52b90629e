import ast


def parse_settings(line):
    name, _, text = line.partition("=")
    return name.strip(), ast.literal_eval(text.strip())
