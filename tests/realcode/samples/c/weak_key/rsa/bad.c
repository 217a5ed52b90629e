#include <openssl/evp.h>
#include <openssl/rsa.h>

int prepare(EVP_PKEY_CTX *context)
{
    if (EVP_PKEY_keygen_init(context) <= 0) {
        return -1;
    }
    return EVP_PKEY_CTX_set_rsa_keygen_bits(context, 1024);
}
