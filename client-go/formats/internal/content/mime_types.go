package content

import (
	"regexp"
	"strings"
)

// byEnding has the types of media of which a message has only the URI. The table is the same in all languages.
var byEnding = map[string]string{
	"gif":  "image/gif",
	"jpeg": "image/jpeg",
	"jpg":  "image/jpeg",
	"pdf":  "application/pdf",
	"png":  "image/png",
	"webp": "image/webp",
}

var uriPath = regexp.MustCompile(`^(?:[^:/?#]+:)?(?://[^/?#]*)?([^?#]*)`)

// MimeTypeOf returns the type that the ending of a URI says; empty if it says none.
func MimeTypeOf(uri string) string {
	path := uriPath.FindStringSubmatch(uri)[1]
	return byEnding[strings.ToLower(path[strings.LastIndex(path, ".")+1:])]
}
