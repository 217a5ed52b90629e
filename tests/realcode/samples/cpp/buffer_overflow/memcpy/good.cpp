#include <string>

class Label {
    std::string text_;

public:
    explicit Label(const std::string &text) : text_(text.substr(0, 15))
    {
    }
};
