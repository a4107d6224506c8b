package openaichat

import (
	"encoding/base64"
	"strings"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// readPart returns a part; one that the contract has no field for is JSON.
func readPart(part any) *pb.Part {
	kind := content.String(part, "type")
	switch kind {
	case "text", "refusal":
		if text, err := content.Required(part, kind); err == nil {
			return content.Text(text)
		}
	case "image_url":
		if url, err := content.Required(part, "image_url", "url"); err == nil {
			return content.MediaOf(url)
		}
	case "input_audio":
		mimeType := audioTypes[content.String(part, "input_audio", "format")]
		data, err := base64.StdEncoding.DecodeString(content.String(part, "input_audio", "data"))
		if err == nil && mimeType != "" {
			return content.DataPart(mimeType, data)
		}
	case "file":
		if data, err := content.Required(part, "file", "file_data"); err == nil {
			return content.MediaOf(data)
		}
	}
	return content.JSON(part)
}

func writtenText(text string) *formats.Object {
	return content.Of("type", "text", "text", text)
}

// writtenMedium returns an image, a sound or a file; a link to anything but an image is text, which the API takes.
func writtenMedium(media *pb.Media) *formats.Object {
	_, isLink := media.GetSource().(*pb.Media_Uri)
	mimeType := media.GetMimeType()
	if format := audioFormats[mimeType]; format != "" && !isLink {
		audio := content.Of("data", content.Base64(media), "format", format)
		return content.Of("type", "input_audio", "input_audio", audio)
	}
	if strings.HasPrefix(mimeType, "image/") || (isLink && mimeType == "") {
		return content.Of("type", "image_url", "image_url", content.Of("url", content.DataURL(media)))
	}
	if isLink {
		return writtenText(media.GetUri())
	}
	file := content.Of("filename", "file", "file_data", content.DataURL(media))
	return content.Of("type", "file", "file", file)
}
