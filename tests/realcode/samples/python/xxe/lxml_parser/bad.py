from lxml import etree


def read_invoice(data):
    parser = etree.XMLParser(resolve_entities=True, no_network=False)
    return etree.fromstring(data, parser).findtext("total")
