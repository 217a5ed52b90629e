package feeds

import (
	"github.com/lestrrat-go/libxml2"
	"github.com/lestrrat-go/libxml2/parser"
	"github.com/lestrrat-go/libxml2/types"
)

func Parse(text []byte) (types.Document, error) {
	return libxml2.Parse(text, parser.XMLParseNoEnt, parser.XMLParseDTDLoad)
}
