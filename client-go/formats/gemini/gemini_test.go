package gemini

import (
	"testing"

	"sessionhistory.io/go/formats/internal/cases"
)

func TestCases(t *testing.T) {
	cases.Run(t, "gemini", cases.Format{
		ToRequest:    ToRequest,
		FromRequest:  FromRequest,
		FromResponse: FromResponse,
		Violations:   Violations,
		Stream:       func(model string) cases.StreamReader { return NewStreamReader(model) },
	})
}
