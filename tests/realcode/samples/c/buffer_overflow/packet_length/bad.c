#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

int parse(const unsigned char *packet, char *out_name, size_t out_size)
{
    char name[64];
    uint16_t raw;
    memcpy(&raw, packet, sizeof raw);
    uint16_t length = ntohs(raw);
    memcpy(name, packet + 2, length);
    name[length] = '\0';
    strncpy(out_name, name, out_size - 1);
    return length;
}
