import subprocess

from django.http import HttpResponse


def logs(request):
    pattern = request.GET.get("grep")
    result = subprocess.run(["grep", "-F", "--", pattern, "/var/log/app.log"], capture_output=True)
    return HttpResponse(result.stdout, content_type="text/plain")
