package anthropic

import (
	"fmt"
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
)

// block checks a block of a message, apart from other blocks.
func (c *checker) block(path, role string, block *formats.Object) {
	kind := typeOf(block)
	if (slices.Contains(ofModel, kind) && role != "assistant") || (slices.Contains(ofUser, kind) && role != "user") {
		c.breaks("block-role", path)
	}
	switch kind {
	case "text":
		c.text(path, block)
	case "tool_use":
		c.call(path, block)
	case "tool_result":
		c.result(path, block)
	case "image", "document":
		c.medium(path, kind, block)
	case "thinking", "redacted_thinking":
		if !isSigned(block) {
			c.breaks("thinking-signed", path)
		}
	}
}

func isSigned(block *formats.Object) bool {
	if typeOf(block) == "thinking" {
		return content.Given(block.Get("signature"))
	}
	return content.Given(block.Get("data"))
}

func (c *checker) text(path string, block *formats.Object) {
	if text := content.String(block, "text"); text == "" {
		c.breaks("text-present", path)
	} else if content.IsBlank(text) {
		c.breaks("text-not-blank", path)
	}
}

func (c *checker) call(path string, block *formats.Object) {
	if !callID.MatchString(content.String(block, "id")) {
		c.breaks("call-id", path+".id")
	}
	if !toolName.MatchString(content.String(block, "name")) {
		c.breaks("call-name", path+".name")
	}
	if content.Object(block, "input") == nil {
		c.breaks("call-input", path+".input")
	}
}

func (c *checker) result(path string, block *formats.Object) {
	told := block.Get("content")
	isAllText := content.Given(told)
	if _, ok := told.([]any); ok {
		for index, nested := range blocksOf(told) {
			c.block(fmt.Sprintf("%s.content[%d]", path, index), "user", nested)
			isAllText = isAllText && typeOf(nested) == "text"
		}
	}
	if content.Given(block.Get("is_error")) && !isAllText {
		c.breaks("error-result", path)
	}
}

// medium checks the source of an image or a document.
func (c *checker) medium(path, kind string, block *formats.Object) {
	source := content.String(block, "source", "type")
	if held := sources[source]; held == "" || !content.Given(content.At(block, "source", held)) {
		c.breaks("source-present", path+".source")
		return
	}
	mediaType := content.String(block, "source", "media_type")
	if kind == "image" && source == "base64" && !slices.Contains(imageTypes, mediaType) {
		c.breaks("image-type", path+".source")
	}
	if kind == "document" && mediaType != documentTypes[source] {
		c.breaks("document-type", path+".source")
	}
}
