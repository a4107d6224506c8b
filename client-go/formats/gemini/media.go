package gemini

import (
	"encoding/base64"
	"strings"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// mediaOfPart returns the medium of a part; nil if a medium would not make the same part again.
func mediaOfPart(part *formats.Object) *pb.Part {
	var made *pb.Part
	if encoded, err := content.Required(part, "inlineData", "data"); err == nil {
		bytes, _ := base64.StdEncoding.DecodeString(encoded)
		made = content.DataPart(content.String(part, "inlineData", "mimeType"), bytes)
	} else if uri, err := content.Required(part, "fileData", "fileUri"); err == nil {
		made = content.URIPart(content.String(part, "fileData", "mimeType"), uri)
	}
	if made == nil {
		return nil
	}
	if again := writtenMedium(made.GetMedia()); again == nil || !content.Equal(again, part) {
		return nil
	}
	return made
}

func writtenMedium(media *pb.Media) *formats.Object {
	if strings.HasPrefix(media.GetUri(), "data:") {
		media = content.MediaOf(media.GetUri()).GetMedia()
	}
	mimeType := media.GetMimeType()
	if _, ok := media.GetSource().(*pb.Media_Uri); ok {
		return writtenLink(mimeType, media.GetUri())
	}
	if len(media.GetData()) == 0 || !strings.Contains(mimeType, "/") {
		return nil
	}
	return content.Of("inlineData", content.Of("mimeType", mimeType, "data", content.Base64(media)))
}

func writtenLink(mimeType, uri string) *formats.Object {
	if mimeType == "" {
		mimeType = content.MimeTypeOf(uri)
	}
	told := formats.NewObject()
	if mimeType != "" && !strings.Contains(mimeType, "*") {
		told.Set("mimeType", mimeType)
	}
	told.Set("fileUri", uri)
	return content.Of("fileData", told)
}
