package arrange

import (
	"encoding/json"
	"testing"
)

func TestRepairedClosesWhatIsOpen(t *testing.T) {
	for text, want := range map[string]string{
		`{"city":"Ro`:              `{"city":"Ro"}`,
		`{"city":"Rome","days":[1`: `{"city":"Rome","days":[1]}`,
		`{"city":"Rome","days"`:    `{"city":"Rome"}`,
		`{"city":"a\`:              `{"city":"a"}`,
		`{"city":"a\\`:             `{"city":"a\\"}`,
		`{"city":"a\u00`:           `{"city":"a"}`,
		`{"city":"a\ud83d`:         `{"city":"a"}`,
		`{`:                        `{}`,
		`rome`:                     `{}`,
		``:                         `{}`,
	} {
		if got := Repaired(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestEveryBeginningIsRepaired(t *testing.T) {
	whole := `{"a":[1,{"b\"":"\\x\u00e4\ud83d\ude00"},null,true],"c":{"d":-1.5e3}}`
	for end := range whole {
		if made := Repaired(whole[:end]); !json.Valid([]byte(made)) {
			t.Errorf("%s: %s is no JSON", whole[:end], made)
		}
	}
}

func TestArgumentsObject(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1`: `{"a":1}`,
		`{}`:     `{}`,
		` `:      `{}`,
		`[1]`:    `{"arguments":"[1]"}`,
		`rome`:   `{"arguments":"rome"}`,
	} {
		if got, _ := json.Marshal(ArgumentsObject(text)); string(got) != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
