from flask import abort, request
import handlers

ACTIONS = {"list": handlers.list_all, "stats": handlers.stats}


def dispatch():
    action = ACTIONS.get(request.args.get("action"))
    if action is None:
        abort(404)
    return action()
