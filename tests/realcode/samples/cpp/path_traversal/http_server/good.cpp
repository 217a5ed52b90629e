#include <filesystem>
#include <fstream>
#include <sstream>
#include "httplib.h"

void page(const httplib::Request &req, httplib::Response &res)
{
    std::filesystem::path name = req.get_param_value("name");
    std::ifstream file(std::filesystem::path("/srv/pages") / name.filename());
    std::stringstream text;
    text << file.rdbuf();
    res.set_content(text.str(), "text/plain");
}
