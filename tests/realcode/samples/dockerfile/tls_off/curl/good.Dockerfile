FROM alpine:3.20
COPY example.pem /etc/ssl/example.pem
RUN apk add --no-cache curl \
    && curl --cacert /etc/ssl/example.pem -o /usr/local/bin/tool https://files.example.com/tool
USER nobody
ENTRYPOINT ["/usr/local/bin/tool"]
