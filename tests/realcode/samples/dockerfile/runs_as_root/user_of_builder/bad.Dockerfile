FROM golang:1.23 AS build
RUN useradd --home /build --create-home builder
USER builder
WORKDIR /build/app
COPY . .
RUN go build -o shop ./cmd/shop

FROM debian:12-slim
COPY --from=build /build/app/shop /usr/local/bin/shop
ENTRYPOINT ["/usr/local/bin/shop"]
