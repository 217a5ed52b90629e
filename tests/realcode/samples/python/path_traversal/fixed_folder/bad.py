BASE_DIR = "/var/app/notes/"


def read_note(filename):
    with open(BASE_DIR + filename) as note:
        return note.read()


print(read_note(input("Which note? ")))
