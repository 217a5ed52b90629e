import xml.sax
from xml.sax.handler import ContentHandler, feature_external_ges


class Titles(ContentHandler):
    def characters(self, content):
        print(content)


def titles(path):
    reader = xml.sax.make_parser()
    reader.setFeature(feature_external_ges, True)
    reader.setContentHandler(Titles())
    reader.parse(path)
