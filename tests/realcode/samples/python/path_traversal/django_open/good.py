import os

from django.conf import settings
from django.http import Http404, HttpResponse


def report(request, year):
    root = os.path.realpath(settings.REPORTS)
    path = os.path.realpath(os.path.join(root, str(year), request.GET["name"]))
    if os.path.commonpath([root, path]) != root:
        raise Http404
    with open(path, "rb") as file:
        return HttpResponse(file.read(), content_type="application/pdf")
