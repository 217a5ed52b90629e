#include <stdio.h>
#include <stdlib.h>

int ping(const char *host)
{
    char command[256];
    snprintf(command, sizeof command, "ping -c 1 %s", host);
    return system(command);
}
