from lxml import etree


def read_invoice(data):
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    return etree.fromstring(data, parser).findtext("total")
