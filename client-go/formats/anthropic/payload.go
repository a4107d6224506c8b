package anthropic

import (
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// payloadBlocks returns the blocks in the payload of a message, if their text and calls are those of its fields.
func payloadBlocks(message *pb.Message) ([]*formats.Object, bool) {
	array, ok := content.ItemOf(message, PayloadType).([]any)
	blocks := blocksOf(array)
	if !ok || len(blocks) != len(array) || slices.ContainsFunc(blocks, isForeign) {
		return nil, false
	}
	told := answer(blocks)
	if told.GetContent() != textOf(saidBlocks(message)) || !slices.EqualFunc(told.GetToolCalls(), message.GetToolCalls(), arrange.SameCall) {
		return nil, false
	}
	var sent []*formats.Object
	for _, block := range blocks {
		if !isSent(block) {
			continue
		}
		if !isSound("assistant", content.Merged(block, content.Of("id", "x"))) {
			return nil, false
		}
		sent = append(sent, withoutCache(block))
	}
	return sent, true
}

// isForeign says whether a block is none of the model's.
func isForeign(block *formats.Object) bool {
	kind := typeOf(block)
	return kind == "" || kind == "tool_result" || slices.Contains(userBlocks, kind)
}

func isSound(role string, block *formats.Object) bool {
	c := &checker{}
	c.block("", role, block)
	return len(c.found) == 0
}

// isSent says whether the API takes a block back: not an empty text, nor thinking without its signature.
func isSent(block *formats.Object) bool {
	if typeOf(block) == "text" {
		return !content.IsBlank(content.String(block, "text"))
	}
	return !slices.Contains(thinking, typeOf(block)) ||
		content.Given(block.Get("signature")) || content.Given(block.Get("data"))
}

// withCalls returns the blocks of a payload, with the calls that are kept and their ids.
func withCalls(blocks []*formats.Object, kept []arrange.AnsweredCall) []*formats.Object {
	index := -1
	return slices.DeleteFunc(blocks, func(block *formats.Object) bool {
		if typeOf(block) != "tool_use" {
			return false
		}
		index++
		if len(kept) == 0 || kept[0].Index != index {
			return true
		}
		block.Set("id", kept[0].Call.GetId())
		kept = kept[1:]
		return false
	})
}
