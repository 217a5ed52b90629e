#include <fstream>
#include <sstream>
#include "httplib.h"

void page(const httplib::Request &req, httplib::Response &res)
{
    std::string path = "/srv/pages/" + req.get_param_value("name");
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    res.set_content(text.str(), "text/plain");
}
