from jinja2 import Environment, select_autoescape

environment = Environment(autoescape=select_autoescape())
LETTER = environment.from_string("Dear {{ user }},\n{{ body }}")


def greeting(request):
    body = request.POST["body"]
    return LETTER.render(user=request.user, body=body)
