FROM python:3.12-slim
ENV DB_USER=shop DB_PASSWORD={{password}}
COPY . /app
USER nobody
CMD ["python", "/app/server.py"]
