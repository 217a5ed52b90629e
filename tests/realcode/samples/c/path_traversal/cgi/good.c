#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char path[1024];
    const char *name = getenv("PATH_INFO");
    if (name == NULL || strstr(name, "..") != NULL) {
        return 1;
    }
    snprintf(path, sizeof path, "/srv/pages/%s", name);
    FILE *page = fopen(path, "r");
    return page == NULL ? 1 : copy(page, stdout);
}
