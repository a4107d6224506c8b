// Package content has the content of messages, JSON and data URLs, as all formats need them.
package content

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"

	"sessionhistory.io/go/formats"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

var dataURL = regexp.MustCompile(`^data:([^;,]*)(?:;[^;,]*)*;base64,`)

// Body returns the content, then the parts in order, without reasoning and without empty texts. Each is a text or
// a medium: JSON is text for an API.
func Body(message *pb.Message) []*pb.Part {
	var found []*pb.Part
	for _, part := range append([]*pb.Part{Text(message.GetContent())}, message.GetParts()...) {
		if part.GetKind() == nil || part.GetReasoning() != nil {
			continue
		}
		if part.GetMedia() == nil {
			part = Text(part.GetText() + compact(part.GetJson()))
			if part.GetText() == "" {
				continue
			}
		}
		found = append(found, part)
	}
	return found
}

// Text returns a part of text.
func Text(text string) *pb.Part {
	return &pb.Part{Kind: &pb.Part_Text{Text: text}}
}

// JSON returns a part of JSON.
func JSON(value any) *pb.Part {
	return &pb.Part{Kind: &pb.Part_Json{Json: Dumped(value)}}
}

// Thought returns a part of reasoning with a text.
func Thought(text string) *pb.Part {
	return &pb.Part{Kind: &pb.Part_Reasoning{Reasoning: &pb.Reasoning{Text: text}}}
}

// Compact returns parts with compact JSON, so that equal values have equal texts.
func Compact(parts []*pb.Part) []*pb.Part {
	var made []*pb.Part
	for _, part := range parts {
		if _, ok := part.GetKind().(*pb.Part_Json); ok {
			part = &pb.Part{Kind: &pb.Part_Json{Json: compact(part.GetJson())}}
		}
		made = append(made, part)
	}
	return made
}

// Texts returns the texts of parts, without the media.
func Texts(parts []*pb.Part) []string {
	var texts []string
	for _, part := range parts {
		if part.GetMedia() == nil {
			texts = append(texts, part.GetText())
		}
	}
	return texts
}

// Reasoning returns the reasoning of a message.
func Reasoning(message *pb.Message) []*pb.Reasoning {
	var found []*pb.Reasoning
	for _, part := range message.GetParts() {
		if reasoning := part.GetReasoning(); reasoning != nil {
			found = append(found, reasoning)
		}
	}
	return found
}

// compact writes a JSON text without spaces between its tokens.
func compact(text string) string {
	value, err := formats.Decode([]byte(text))
	if err != nil {
		return text
	}
	return Dumped(value)
}

// Dumped returns a value of formats.Decode as compact JSON text.
func Dumped(value any) string {
	text, err := formats.Encode(value)
	if err != nil {
		panic(err) // only a value that is none of formats.Decode
	}
	return string(text)
}

// Loaded returns the object of a request, a response or an event.
func Loaded(body []byte) (*formats.Object, error) {
	value, err := formats.Decode(body)
	if err != nil {
		return nil, err
	}
	object, ok := value.(*formats.Object)
	if !ok {
		return nil, errors.New("a request, a response and an event are JSON objects: pass one of an API")
	}
	return object, nil
}

// ItemOf returns the item in the payload of a message, if its type is this one and it is JSON; else nil.
func ItemOf(message *pb.Message, payloadType string) any {
	if message.GetPayloadType() != payloadType {
		return nil
	}
	item, err := formats.Decode(message.GetPayload())
	if err != nil {
		return nil
	}
	return item
}

// DataURL returns the URI of a medium, or a data URL with its bytes.
func DataURL(media *pb.Media) string {
	if _, ok := media.GetSource().(*pb.Media_Uri); ok {
		return media.GetUri()
	}
	return "data:" + media.GetMimeType() + ";base64," + Base64(media)
}

// Base64 returns the bytes of a medium in base64.
func Base64(media *pb.Media) string {
	return base64.StdEncoding.EncodeToString(media.GetData())
}

// MediaOf returns the medium of a URL: the bytes of a data URL, or the URL itself.
func MediaOf(url string) *pb.Part {
	if found := dataURL.FindStringSubmatch(url); found != nil {
		data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(url, found[0]))
		made := DataPart(found[1], data)
		if err == nil && DataURL(made.GetMedia()) == url { // else the URL has parameters, which the part would lose
			return made
		}
	}
	return URIPart("", url)
}

// DataPart returns a medium with its bytes.
func DataPart(mimeType string, data []byte) *pb.Part {
	media := &pb.Media{MimeType: mimeType, Source: &pb.Media_Data{Data: data}}
	return &pb.Part{Kind: &pb.Part_Media{Media: media}}
}

// URIPart returns a medium by reference.
func URIPart(mimeType, uri string) *pb.Part {
	media := &pb.Media{MimeType: mimeType, Source: &pb.Media_Uri{Uri: uri}}
	return &pb.Part{Kind: &pb.Part_Media{Media: media}}
}

// NewID returns the id of a message to store, so that a retry of its append stores it once.
func NewID() string {
	return rand.Text()
}
