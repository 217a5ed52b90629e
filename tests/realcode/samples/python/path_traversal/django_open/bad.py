import os

from django.conf import settings
from django.http import Http404, HttpResponse


def report(request, year):
    path = os.path.join(settings.REPORTS, str(year), request.GET["name"])
    with open(path, "rb") as file:
        return HttpResponse(file.read(), content_type="application/pdf")
