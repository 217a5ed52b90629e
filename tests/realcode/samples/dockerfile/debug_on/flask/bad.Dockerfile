FROM python:3.12-slim
COPY . /app
WORKDIR /app
ENV FLASK_APP=shop FLASK_DEBUG=1
USER nobody
CMD ["flask", "run"]
