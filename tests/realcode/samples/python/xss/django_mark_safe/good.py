from django.shortcuts import render
from django.utils.html import format_html


def profile(request):
    about = format_html("<em>{}</em>", request.POST.get("about", ""))
    return render(request, "profile.html", {"about": about})
