package anthropic

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
)

const (
	mostMessages    = 100_000
	mostBreakpoints = 4
)

var (
	toolName   = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)
	callID     = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	imageTypes = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}
	thinking   = []string{"thinking", "redacted_thinking"}

	knownRoles    = []string{"user", "assistant", "system"}
	ofModel       = append([]string{"tool_use", "server_tool_use"}, thinking...)
	ofUser        = []string{"tool_result", "image", "document", "search_result", "container_upload"}
	documentTypes = map[string]string{"base64": "application/pdf", "text": "text/plain"}
	// sources are the members that hold a medium, by the type of its source.
	sources = map[string]string{
		"base64": "data", "text": "data", "url": "url", "file": "file_id", "content": "content",
	}
)

// checker collects the violations of a request.
type checker struct {
	found []formats.Violation
}

// checkedTurn is a message of a request: its place, its role, and its content as blocks.
type checkedTurn struct {
	path, role string
	blocks     []*formats.Object
}

func (t checkedTurn) place(index int) string {
	return fmt.Sprintf("%s.content[%d]", t.path, index)
}

// Violations returns the rules of the Messages API that a request's body breaks. Of the options, Prefill counts.
func Violations(body []byte, options formats.Options) ([]formats.Violation, error) {
	told, err := content.Loaded(body)
	if err != nil {
		return nil, err
	}
	var turns []checkedTurn
	for index, message := range content.Array(told, "messages") {
		turns = append(turns, checkedTurn{
			fmt.Sprintf("messages[%d]", index), content.String(message, "role"), blocksOf(content.At(message, "content")),
		})
	}
	c := &checker{}
	c.conversation(turns)
	c.system(blocksOf(told.Get("system")))
	c.end(turns, options.Prefill)
	for _, turn := range turns {
		for index, block := range turn.blocks {
			c.block(turn.place(index), turn.role, block)
		}
	}
	c.calls(turns)
	c.cache(told, turns)
	if content.String(told, "thinking", "type") == "enabled" {
		c.thinkingFirst(turns)
	}
	return c.found, nil
}

// blocksOf returns content as blocks: a text is one block.
func blocksOf(told any) []*formats.Object {
	if text, ok := told.(string); ok {
		return []*formats.Object{textBlock(text)}
	}
	array, _ := told.([]any)
	var blocks []*formats.Object
	for _, value := range array {
		if block := content.Object(value); block != nil {
			blocks = append(blocks, block)
		}
	}
	return blocks
}

// isPaused says whether the model goes on behind a block: the API's own tool has run, or is to run.
func isPaused(block *formats.Object) bool {
	kind := typeOf(block)
	return kind == "server_tool_use" || (strings.HasSuffix(kind, "_tool_result") && kind != "tool_result")
}

func typeOf(block *formats.Object) string {
	return content.String(block, "type")
}

func (c *checker) breaks(rule, path string) {
	broken := rules[rule]
	broken.Name = rule
	c.found = append(c.found, broken.At(path))
}

func (c *checker) conversation(turns []checkedTurn) {
	if len(turns) == 0 {
		c.breaks("messages-present", "messages")
		return
	}
	if len(turns) > mostMessages {
		c.breaks("message-limit", "messages")
	}
	if turns[0].role != "user" {
		c.breaks("first-is-user", turns[0].path)
	}
	for index, turn := range turns {
		if !slices.Contains(knownRoles, turn.role) {
			c.breaks("known-role", turn.path)
		}
		if len(turn.blocks) == 0 && !(index == len(turns)-1 && turn.role == "assistant") {
			c.breaks("content-present", turn.path)
		}
	}
	for index := range turns[1:] {
		c.neighbours(turns[index], turns[index+1])
	}
}

func (c *checker) neighbours(before, turn checkedTurn) {
	switch {
	case before.role == turn.role:
		c.breaks("alternating-roles", turn.path)
	case turn.role == "system" && before.role != "user" && !isPaused(last(before.blocks)):
		c.breaks("system-place", turn.path)
	case before.role == "system" && turn.role != "assistant":
		c.breaks("system-place", before.path)
	}
}

func (c *checker) system(blocks []*formats.Object) {
	for index, block := range blocks {
		path := fmt.Sprintf("system[%d]", index)
		if typeOf(block) == "text" {
			c.text(path, block)
		} else {
			c.breaks("system-text", path)
		}
	}
}

// end checks the last message, and the last block of each message of the model.
func (c *checker) end(turns []checkedTurn, prefill bool) {
	for _, turn := range turns {
		if turn.role == "assistant" && slices.Contains(thinking, typeOf(last(turn.blocks))) {
			c.breaks("thinking-not-last", turn.place(len(turn.blocks)-1))
		}
	}
	if len(turns) == 0 || turns[len(turns)-1].role != "assistant" {
		return
	}
	path, block := turns[len(turns)-1].path, last(turns[len(turns)-1].blocks)
	if !prefill && !isPaused(block) {
		c.breaks("no-prefill", path)
	}
	if text := content.String(block, "text"); typeOf(block) == "text" && content.TrimEnd(text) != text {
		c.breaks("no-trailing-space", path)
	}
}

// cache checks the breakpoints of the prompt cache.
func (c *checker) cache(told *formats.Object, turns []checkedTurn) {
	count, last := 0, "tools"
	check := func(path string, block *formats.Object) {
		if !content.Given(block.Get("cache_control")) {
			return
		}
		count, last = count+1, path
		if slices.Contains(thinking, typeOf(block)) || block.Get("text") == "" {
			c.breaks("cache-place", path)
		}
	}
	for index, block := range blocksOf(told.Get("system")) {
		check(fmt.Sprintf("system[%d]", index), block)
	}
	for _, turn := range turns {
		for index, block := range turn.blocks {
			check(turn.place(index), block)
		}
	}
	for _, tool := range content.Array(told, "tools") {
		if content.Given(content.At(tool, "cache_control")) {
			count++
		}
	}
	if count > mostBreakpoints {
		c.breaks("cache-limit", last)
	}
}
