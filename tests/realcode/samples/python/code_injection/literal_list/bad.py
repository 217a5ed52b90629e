def parse_settings(line):
    name, _, text = line.partition("=")
    return name.strip(), eval(text.strip(), {"__builtins__": {}})
