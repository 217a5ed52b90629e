#include <stdio.h>

int main(void)
{
    char answer[16];
    puts("Continue? ");
    gets(answer);
    return answer[0] == 'y' ? 0 : 1;
}
