from sqlalchemy import create_engine, text

engine = create_engine("postgresql:///metrics")


def readings(sensor: str, limit: int):
    with engine.connect() as connection:
        statement = text("SELECT at, value FROM readings WHERE sensor = :sensor LIMIT :limit")
        return connection.execute(statement, {"sensor": sensor, "limit": limit}).all()
