FROM python:3.12-slim
COPY . /app
WORKDIR /app
ENV FLASK_APP=shop
USER nobody
CMD ["gunicorn", "shop:app"]
