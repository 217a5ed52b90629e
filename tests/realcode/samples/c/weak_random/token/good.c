#include <stdlib.h>
#include <sys/random.h>

int new_token(char *out, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    if (getrandom(out, size, 0) != (ssize_t)size) {
        return -1;
    }
    for (size_t i = 0; i + 1 < size; i++) {
        out[i] = letters[(unsigned char)out[i] % 32];
    }
    out[size - 1] = '\0';
    return 0;
}
