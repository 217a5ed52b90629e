#include <libxml/parser.h>

xmlDocPtr load(const char *text, int size)
{
    return xmlReadMemory(text, size, "feed.xml", NULL, XML_PARSE_NONET);
}
