import jwt


def current_user(header, key):
    token = header.removeprefix("Bearer ")
    claims = jwt.decode(token, key, algorithms=["RS256"], audience="shop")
    return claims["sub"]
