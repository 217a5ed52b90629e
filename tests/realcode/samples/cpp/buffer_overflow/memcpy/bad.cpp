#include <cstring>
#include <string>

class Label {
    char text_[16];

public:
    explicit Label(const std::string &text)
    {
        std::strcpy(text_, text.c_str());
    }
};
