#include <openssl/evp.h>

int begin(EVP_CIPHER_CTX *context, const unsigned char *key)
{
    return EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), NULL, key, NULL);
}
