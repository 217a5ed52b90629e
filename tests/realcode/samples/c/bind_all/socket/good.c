#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

int listen_on(int socket_fd, unsigned short port)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return bind(socket_fd, (struct sockaddr *)&address, sizeof address);
}
