package main

// raw sends and receives messages as bytes, of type *[]byte.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error) {
	return *message.(*[]byte), nil
}

func (raw) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = data
	return nil
}

func (raw) Name() string {
	return "proto"
}
