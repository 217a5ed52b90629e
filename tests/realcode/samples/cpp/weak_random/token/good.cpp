#include <openssl/rand.h>
#include <stdexcept>
#include <string>

std::string session_token()
{
    static const std::string letters = "abcdefghijklmnopqrstuvwxyz012345";
    unsigned char bytes[32];
    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        throw std::runtime_error("no random bytes");
    }
    std::string token;
    for (unsigned char byte : bytes) {
        token += letters[byte % letters.size()];
    }
    return token;
}
