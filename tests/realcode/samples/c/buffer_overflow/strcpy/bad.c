#include <stdio.h>
#include <string.h>

struct user {
    char name[32];
    int age;
};

void set_name(struct user *user, const char *name)
{
    strcpy(user->name, name);
}
