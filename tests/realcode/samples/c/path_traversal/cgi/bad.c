#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char path[1024];
    const char *name = getenv("PATH_INFO");
    snprintf(path, sizeof path, "/srv/pages/%s", name);
    FILE *page = fopen(path, "r");
    return page == NULL ? 1 : copy(page, stdout);
}
