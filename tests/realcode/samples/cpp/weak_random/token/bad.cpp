#include <random>
#include <string>

std::string session_token()
{
    static const std::string letters = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::mt19937 generator(std::random_device{}());
    std::uniform_int_distribution<std::size_t> pick(0, letters.size() - 1);
    std::string token;
    for (int i = 0; i < 32; ++i) {
        token += letters[pick(generator)];
    }
    return token;
}
