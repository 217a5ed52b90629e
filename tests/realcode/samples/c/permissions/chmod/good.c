#include <sys/stat.h>
#include <fcntl.h>

int share(const char *path)
{
    umask(077);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    return fd;
}
