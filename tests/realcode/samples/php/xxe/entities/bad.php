<?php

function titles(string $xml): array
{
    $document = new DOMDocument();
    $document->loadXML($xml, LIBXML_NOENT | LIBXML_DTDLOAD);
    return iterator_to_array($document->getElementsByTagName('title'));
}
