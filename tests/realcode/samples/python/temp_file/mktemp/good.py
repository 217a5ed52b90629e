from tempfile import NamedTemporaryFile


def render(page):
    with NamedTemporaryFile("w", suffix=".html", delete=False) as file:
        file.write(page)
    return file.name
