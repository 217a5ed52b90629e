from django.contrib.auth import logout
from django.http import HttpResponseRedirect


def leave(request):
    logout(request)
    back = request.GET.get("back", "/")
    return HttpResponseRedirect(back)
