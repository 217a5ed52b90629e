#include <openssl/evp.h>

int digest(const void *data, size_t size, unsigned char *out)
{
    unsigned int length = 0;
    return EVP_Digest(data, size, out, &length, EVP_sha256(), NULL) ? (int)length : -1;
}
