from urllib.parse import quote
from urllib.request import urlopen

from django.http import HttpResponse


def avatar(request):
    user = request.GET.get("user")
    with urlopen(f"https://avatars.example.com/{quote(user, safe='')}.png") as answer:
        return HttpResponse(answer.read(), content_type="image/png")
