FROM debian:12-slim
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://files.example.com/tool.tar.gz /opt/
RUN tar -xzf /opt/tool.tar.gz -C /opt
USER nobody
CMD ["/opt/tool/bin/tool"]
