from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse

router = APIRouter()
PARTNERS = {"docs": "https://docs.example.com/", "shop": "https://shop.example.com/"}


@router.get("/out")
def out(partner: str):
    if partner not in PARTNERS:
        raise HTTPException(404)
    return RedirectResponse(url=PARTNERS[partner], status_code=302)
