from jinja2 import Environment, select_autoescape

environment = Environment(autoescape=select_autoescape())


def greeting(request):
    body = request.POST["body"]
    return environment.from_string("Dear {{ user }},\n" + body).render(user=request.user)
