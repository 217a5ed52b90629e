#include <stdio.h>

int export_rows(const char *rows)
{
    FILE *file = fopen("/tmp/export.csv", "w");
    if (file == NULL) {
        return -1;
    }
    fputs(rows, file);
    return fclose(file);
}
