package anthropic

import (
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	"sessionhistory.io/go/formats/internal/turn"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// resultBlock returns the block of the results of a call.
func resultBlock(answered arrange.AnsweredCall) *formats.Object {
	var blocks []*formats.Object
	hasFailed := false
	for _, result := range answered.Results {
		blocks = append(blocks, saidBlocks(result)...)
		metadata, _ := formats.Decode([]byte(result.GetMetadata()))
		hasFailed = hasFailed || content.At(metadata, isError) == true
	}
	isText := !slices.ContainsFunc(blocks, func(block *formats.Object) bool { return typeOf(block) != "text" })
	made := content.Of("type", "tool_result", "tool_use_id", answered.Call.GetId())
	switch {
	case len(answered.Results) == 0:
		made.Set("content", arrange.NoResult)
	case len(blocks) == 1 && isText:
		made.Set("content", blocks[0].Get("text"))
	case len(blocks) > 0:
		made.Set("content", turn.Array(blocks))
	}
	if hasFailed && isText && len(blocks) > 0 {
		made.Set(isError, true)
	}
	return made
}

// resultMessage returns the message of a result, also of the marker for a call without a result.
func resultMessage(block *formats.Object) *pb.Message {
	made := &pb.Message{
		MessageId: content.NewID(), Role: pb.Role_ROLE_TOOL, ToolCallId: content.String(block, "tool_use_id"),
	}
	if text, ok := block.Get("content").(string); ok {
		made.Content = &text
	} else {
		setBody(made, blocksOf(block.Get("content")))
	}
	if block.Get(isError) == true {
		made.Metadata = content.Dumped(content.Of(isError, true))
	}
	return made
}
