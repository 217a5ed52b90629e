from tempfile import mktemp


def render(page):
    name = mktemp(suffix=".html")
    with open(name, "w") as file:
        file.write(page)
    return name
