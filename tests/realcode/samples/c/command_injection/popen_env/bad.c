#include <stdio.h>
#include <stdlib.h>
#include <string.h>

FILE *open_pager(void)
{
    char line[512] = "less -R ";
    strncat(line, getenv("PAGER_OPTIONS"), sizeof line - strlen(line) - 1);
    return popen(line, "w");
}
