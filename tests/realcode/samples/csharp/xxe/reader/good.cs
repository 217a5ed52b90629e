using System.IO;
using System.Xml;

public static class Feed
{
    public static XmlDocument Parse(Stream stream)
    {
        var settings = new XmlReaderSettings
        {
            DtdProcessing = DtdProcessing.Prohibit,
            XmlResolver = null,
        };
        var document = new XmlDocument();
        document.Load(XmlReader.Create(stream, settings));
        return document;
    }
}
