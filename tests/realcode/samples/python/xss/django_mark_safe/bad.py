from django.shortcuts import render
from django.utils.safestring import mark_safe


def profile(request):
    about = mark_safe("<em>" + request.POST.get("about", "") + "</em>")
    return render(request, "profile.html", {"about": about})
