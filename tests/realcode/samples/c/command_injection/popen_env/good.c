#include <stdio.h>
#include <stdlib.h>
#include <string.h>

FILE *open_pager(void)
{
    const char *options = getenv("PAGER_COLOR");
    return popen(options != NULL && strcmp(options, "1") == 0 ? "less -R" : "less", "w");
}
