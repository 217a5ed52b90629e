#include <stdio.h>

int main(void)
{
    char answer[16];
    puts("Continue? ");
    if (fgets(answer, sizeof answer, stdin) == NULL) {
        return 1;
    }
    return answer[0] == 'y' ? 0 : 1;
}
