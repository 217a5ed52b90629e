#include <stdio.h>
#include <syslog.h>

void report(const char *user, const char *reason)
{
    char text[256];
    snprintf(text, sizeof text, "login of %s failed: %s", user, reason);
    syslog(LOG_WARNING, "%s", text);
}
