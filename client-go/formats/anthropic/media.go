package anthropic

import (
	"encoding/base64"
	"slices"
	"strings"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// anyImage is the type of an image of which a request has only the URL.
const anyImage = "image/*"

const (
	pdf   = "application/pdf"
	plain = "text/plain"
)

// blockOfMedia returns the block of a medium; nil if the API takes none of its type.
func blockOfMedia(media *pb.Media) *formats.Object {
	if strings.HasPrefix(media.GetUri(), "data:") {
		media = content.MediaOf(media.GetUri()).GetMedia()
	}
	mimeType := strings.ToLower(media.GetMimeType())
	if mimeType == "" {
		mimeType = content.MimeTypeOf(media.GetUri())
	}
	source := sourceOfData(mimeType, media)
	if _, ok := media.GetSource().(*pb.Media_Uri); ok {
		source = sourceOfURL(mimeType, media.GetUri())
	}
	if source == nil {
		return nil
	}
	if strings.HasPrefix(mimeType, "image/") {
		return content.Of("type", "image", "source", source)
	}
	return content.Of("type", "document", "source", source)
}

// mediaOfBlock returns the medium of a block; nil if a medium would not make the same block again.
func mediaOfBlock(block *formats.Object) *pb.Part {
	kind, source := typeOf(block), content.Object(block, "source")
	if (kind != "image" && kind != "document") || len(block.Names()) != 2 || source == nil {
		return nil
	}
	part := readMedium(kind, source)
	if part == nil {
		return nil
	}
	if again := blockOfMedia(part.GetMedia()); again == nil || !content.Equal(again, block) {
		return nil
	}
	return part
}

func sourceOfData(mimeType string, media *pb.Media) *formats.Object {
	switch {
	case len(media.GetData()) == 0:
		return nil
	case slices.Contains(imageTypes, mimeType) || mimeType == pdf:
		return content.Of("type", "base64", "media_type", mimeType, "data", content.Base64(media))
	case mimeType == plain:
		text := strings.ToValidUTF8(string(media.GetData()), "\uFFFD")
		if !content.IsBlank(text) {
			return content.Of("type", "text", "media_type", plain, "data", text)
		}
	}
	return nil
}

func sourceOfURL(mimeType, uri string) *formats.Object {
	isWeb := strings.HasPrefix(uri, "https://") || strings.HasPrefix(uri, "http://")
	if !isWeb || !(slices.Contains(imageTypes, mimeType) || mimeType == anyImage || mimeType == pdf) {
		return nil
	}
	return content.Of("type", "url", "url", uri)
}

func readMedium(kind string, source *formats.Object) *pb.Part {
	mimeType, data := content.String(source, "media_type"), content.String(source, "data")
	switch content.String(source, "type") {
	case "base64":
		bytes, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil
		}
		return content.DataPart(mimeType, bytes)
	case "text":
		return content.DataPart(mimeType, []byte(data))
	case "url":
		if kind == "image" {
			return content.URIPart(anyImage, content.String(source, "url"))
		}
		return content.URIPart(pdf, content.String(source, "url"))
	}
	return nil
}
