#include <fstream>
#include <string>

void export_rows(const std::string &rows)
{
    std::ofstream file("/tmp/export.csv");
    file << rows;
}
