package content

import "regexp"

const maxNameLength = 64

var refused = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

// AcceptedName returns a name that APIs accept: the name itself, or with an underscore for each character that
// they refuse.
func AcceptedName(name string) string {
	name = refused.ReplaceAllString(name, "_")
	if name == "" {
		return "_"
	}
	return name[:min(len(name), maxNameLength)]
}

// IsAcceptedName says whether APIs accept a name.
func IsAcceptedName(name any) bool {
	text, ok := name.(string)
	return ok && AcceptedName(text) == text
}
