#include <stdlib.h>
#include <time.h>

void new_token(char *out, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    srand((unsigned)time(NULL));
    for (size_t i = 0; i + 1 < size; i++) {
        out[i] = letters[rand() % (sizeof letters - 1)];
    }
    out[size - 1] = '\0';
}
