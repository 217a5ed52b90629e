from pathlib import Path

BASE_DIR = Path("/var/app/notes/")


def read_note(filename):
    path = (BASE_DIR / filename).resolve()
    path.relative_to(BASE_DIR)
    return path.read_text()


print(read_note(input("Which note? ")))
