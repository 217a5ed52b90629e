from flask import request
import handlers


def dispatch():
    name = request.args.get("action")
    return getattr(handlers, name)()
