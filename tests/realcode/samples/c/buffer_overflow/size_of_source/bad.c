#include <string.h>

#define SIZE 32

static char title[SIZE];

void set_title(const char *text)
{
    strncpy(title, text, strlen(text));
}
