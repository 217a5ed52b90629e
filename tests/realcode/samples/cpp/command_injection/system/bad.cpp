#include <cstdlib>
#include <string>

int archive(const std::string &folder)
{
    std::string command = "tar czf backup.tar.gz " + folder;
    return std::system(command.c_str());
}
