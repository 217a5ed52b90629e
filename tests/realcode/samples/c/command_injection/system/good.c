#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int ping(char *host)
{
    char *arguments[] = {"ping", "-c", "1", "--", host, NULL};
    pid_t pid;
    int status;
    if (posix_spawnp(&pid, "ping", NULL, NULL, arguments, environ) != 0) {
        return -1;
    }
    waitpid(pid, &status, 0);
    return status;
}
