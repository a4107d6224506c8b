package openaichat

import (
	"testing"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/cases"
)

func TestCases(t *testing.T) {
	cases.Run(t, "openai_chat", cases.Format{
		ToRequest:    ToRequest,
		FromRequest:  FromRequest,
		FromResponse: FromResponse,
		Violations: func(body []byte, _ formats.Options) ([]formats.Violation, error) {
			return Violations(body)
		},
		Stream: func(model string) cases.StreamReader { return NewStreamReader(model) },
	})
}
