def login(user, password):
    if user == "admin" and password == "{{password}}":
        return True
    return False
