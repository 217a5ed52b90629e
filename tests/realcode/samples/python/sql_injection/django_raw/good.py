from django.http import JsonResponse

from shop.models import Product


def search(request):
    term = request.GET["q"]
    products = Product.objects.raw("SELECT * FROM shop_product WHERE name LIKE %s", [f"%{term}%"])
    return JsonResponse({"names": [product.name for product in products]})
