package feeds;

import java.io.InputStream;
import javax.xml.stream.*;

class Titles {
    String first(InputStream input) throws XMLStreamException {
        XMLInputFactory factory = XMLInputFactory.newInstance();
        XMLStreamReader reader = factory.createXMLStreamReader(input);
        while (reader.hasNext()) {
            if (reader.next() == XMLStreamConstants.START_ELEMENT && reader.getLocalName().equals("title")) {
                return reader.getElementText();
            }
        }
        return null;
    }
}
