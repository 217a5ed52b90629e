from sqlalchemy import create_engine

engine = create_engine("postgresql://shop:{{password}}@db.internal:5432/shop")
