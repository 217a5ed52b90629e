FROM debian:12-slim
RUN apt-get update && apt-get install -y curl ca-certificates
RUN curl -fsSL https://get.example.com/install.sh | bash
USER nobody
CMD ["tool", "serve"]
