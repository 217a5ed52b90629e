#include <sys/stat.h>
#include <fcntl.h>

int share(const char *path)
{
    umask(0);
    int fd = open(path, O_CREAT | O_WRONLY, 0666);
    chmod(path, 0777);
    return fd;
}
