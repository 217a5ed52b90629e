FROM debian:12-slim
ADD https://files.example.com/tool.tar.gz /opt/
RUN tar -xzf /opt/tool.tar.gz -C /opt
USER nobody
CMD ["/opt/tool/bin/tool"]
