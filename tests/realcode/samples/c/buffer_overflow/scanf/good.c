#include <stdio.h>

int read_word(char *out)
{
    char word[20];
    int count = scanf("%19s", word);
    out[0] = word[0];
    return count;
}
