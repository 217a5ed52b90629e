from fastapi import APIRouter
from fastapi.responses import RedirectResponse

router = APIRouter()


@router.get("/out")
def out(url: str):
    return RedirectResponse(url=url, status_code=302)
