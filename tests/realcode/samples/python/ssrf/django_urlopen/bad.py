from urllib.request import urlopen

from django.http import HttpResponse


def avatar(request):
    host = request.GET.get("host")
    with urlopen(f"http://{host}/avatar.png") as answer:
        return HttpResponse(answer.read(), content_type="image/png")
