import requests
from rest_framework.views import APIView
from rest_framework.response import Response


class Avatar(APIView):
    def post(self, request):
        url = request.data["avatar_url"]
        image = requests.request("GET", url, timeout=3)
        return Response({"size": len(image.content)})
