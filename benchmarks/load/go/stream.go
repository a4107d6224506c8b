package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
)

// mostUnderWay is the number of calls that the server takes from one stream at a time.
const mostUnderWay = 256

// fields are the numbers of the fields of a stream's messages.
type fields struct {
	Calls         protowire.Number // in a request
	Number        protowire.Number // in a call
	Outcomes      protowire.Number // in a response
	OutcomeNumber protowire.Number `json:"outcome_number"`
	Answer        protowire.Number // in an outcome, the answer of the method
}

// stream makes calls over one stream. Calls that are ready together share a message.
type stream struct {
	fields  *fields
	wire    grpc.ClientStream
	places  chan struct{}
	toSend  chan *underWay
	mutex   sync.Mutex
	last    uint64
	waiting map[uint64]*underWay
	broken  error
}

// underWay is a call without an outcome.
type underWay struct {
	call *call
	done chan error
}

func openStream(connection *grpc.ClientConn, asked *plan) (*stream, error) {
	ctx := metadata.NewOutgoingContext(context.Background(), metadata.New(asked.Headers))
	described := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	wire, err := connection.NewStream(ctx, described, asked.Method)
	if err != nil {
		return nil, err
	}
	opened := &stream{
		fields:  asked.Fields,
		wire:    wire,
		places:  make(chan struct{}, mostUnderWay),
		toSend:  make(chan *underWay, mostUnderWay),
		waiting: map[uint64]*underWay{},
	}
	go opened.send()
	go opened.receive()
	return opened, nil
}

func (s *stream) make(call *call) error {
	s.places <- struct{}{}
	defer func() { <-s.places }()
	made := &underWay{call, make(chan error, 1)}
	s.toSend <- made
	select {
	case err := <-made.done:
		return err
	case <-time.After(deadline):
		return errors.New("a call has no outcome after its deadline")
	}
}

// send sends the calls that are ready together in one message.
func (s *stream) send() {
	for first := range s.toSend {
		runtime.Gosched() // goroutines that got an outcome at the same time add their next calls
		message := s.appendCall(nil, first)
		for ready := len(s.toSend); ready > 0; ready-- {
			message = s.appendCall(message, <-s.toSend)
		}
		if err := s.wire.SendMsg(&message); err != nil {
			return // receive finds the reason
		}
	}
}

func (s *stream) appendCall(message []byte, made *underWay) []byte {
	number := s.enter(made)
	size := len(made.call.Request) + protowire.SizeTag(s.fields.Number) + protowire.SizeVarint(number)
	message = protowire.AppendTag(message, s.fields.Calls, protowire.BytesType)
	message = protowire.AppendVarint(message, uint64(size))
	message = append(message, made.call.Request...)
	message = protowire.AppendTag(message, s.fields.Number, protowire.VarintType)
	return protowire.AppendVarint(message, number)
}

func (s *stream) enter(made *underWay) uint64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.last++
	s.waiting[s.last] = made
	if s.broken != nil {
		made.done <- s.broken
	}
	return s.last
}

// receive hands the outcomes to their calls. The end of the stream is the outcome of all calls without one.
func (s *stream) receive() {
	err := s.receiveAll()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.broken = fmt.Errorf("the stream ended: %w", err)
	for _, made := range s.waiting {
		made.done <- s.broken
	}
}

func (s *stream) receiveAll() error {
	for {
		var message []byte
		if err := s.wire.RecvMsg(&message); err != nil {
			return err
		}
		if err := s.take(message); err != nil {
			return err
		}
	}
}

// take reads a response. It has nothing but outcomes, unless the server ends the stream.
func (s *stream) take(message []byte) error {
	for len(message) > 0 {
		field, _, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		outcome, length := protowire.ConsumeBytes(message[size:])
		if length < 0 {
			return protowire.ParseError(length)
		}
		if field != s.fields.Outcomes {
			return fmt.Errorf("the server sent the field %d", field)
		}
		if err := s.finish(outcome); err != nil {
			return err
		}
		message = message[size+length:]
	}
	return nil
}

func (s *stream) finish(outcome []byte) error {
	var number uint64
	answer := -1
	for len(outcome) > 0 {
		field, kind, size := protowire.ConsumeTag(outcome)
		if size < 0 {
			return protowire.ParseError(size)
		}
		length := protowire.ConsumeFieldValue(field, kind, outcome[size:])
		if length < 0 {
			return protowire.ParseError(length)
		}
		value := outcome[size : size+length]
		switch field {
		case s.fields.OutcomeNumber:
			number, _ = protowire.ConsumeVarint(value)
		case s.fields.Answer:
			bytes, _ := protowire.ConsumeBytes(value)
			answer = len(bytes)
		}
		outcome = outcome[size+length:]
	}
	return s.answer(number, answer)
}

// answer ends a call. An error has no answer, so its size is -1.
func (s *stream) answer(number uint64, size int) error {
	s.mutex.Lock()
	made := s.waiting[number]
	delete(s.waiting, number)
	s.mutex.Unlock()
	if made == nil {
		return fmt.Errorf("no call has the number %d", number)
	}
	if size < 0 {
		made.done <- errors.New("a call over the stream failed")
	} else {
		made.done <- made.call.check(size)
	}
	return nil
}
