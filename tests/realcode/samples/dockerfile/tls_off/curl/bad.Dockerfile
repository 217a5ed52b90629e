FROM alpine:3.20
RUN apk add --no-cache curl \
    && curl -k -o /usr/local/bin/tool https://files.example.com/tool
USER nobody
ENTRYPOINT ["/usr/local/bin/tool"]
