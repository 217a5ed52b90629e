FROM debian:12-slim
ARG INSTALL_SHA256
RUN apt-get update && apt-get install -y curl ca-certificates
RUN curl -fsSL -o /tmp/install.sh https://get.example.com/install.sh \
    && echo "$INSTALL_SHA256  /tmp/install.sh" | sha256sum --check \
    && bash /tmp/install.sh
USER nobody
CMD ["tool", "serve"]
