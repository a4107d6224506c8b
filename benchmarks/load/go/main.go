// Program load repeats recorded calls of a gRPC server: each in a request of its own, or many over streams.
//
// Its argument is a file with a plan in JSON. It prints an outcome in JSON. It knows no contract: requests are
// bytes, and an answer is right if it has the size of the recorded one. So it takes little of the machine's CPU.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// plan says which calls to make, and how.
type plan struct {
	Address     string
	Headers     map[string]string
	Calls       []*call
	Method      string  // of the unary calls, or of the stream
	Fields      *fields // of the stream; nil: unary calls
	Connections int
	InFlight    int `json:"in_flight"` // in a closed loop
	Seconds     float64
	PerSecond   float64 `json:"per_second"` // of an open loop; 0: a closed loop
}

// call is a recorded call. Over a stream, its request is that of the stream, without a number.
type call struct {
	Request     []byte
	LeastBytes  int `json:"least_bytes"` // of its answer
	LargestSize int `json:"most_bytes"`
}

func (c *call) check(answer int) error {
	if answer < c.LeastBytes || answer > c.LargestSize {
		return fmt.Errorf("an answer has %d bytes, and not %d to %d", answer, c.LeastBytes, c.LargestSize)
	}
	return nil
}

// outcome is what the load found. Calls before the clock started are answered, but have no latency.
type outcome struct {
	Answered  int       `json:"answered"`
	PerSecond float64   `json:"per_second"`
	Latencies []float64 `json:"latencies"` // in seconds
}

// caller makes one call and waits for its answer. It is for concurrent use.
type caller interface {
	make(*call) error
}

func main() {
	log.SetFlags(0)
	found, err := run(os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(file string) (*outcome, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	asked := &plan{}
	if err := json.Unmarshal(text, asked); err != nil {
		return nil, err
	}
	callers, err := connect(asked)
	if err != nil {
		return nil, err
	}
	load := &load{callers: callers, calls: asked.Calls}
	for _, each := range callers { // connections and streams open with their first call
		if err := each.make(asked.Calls[0]); err != nil {
			return nil, err
		}
	}
	seconds := time.Duration(asked.Seconds * float64(time.Second))
	if asked.PerSecond > 0 {
		return load.open(seconds, asked.PerSecond)
	}
	return load.closed(seconds, asked.InFlight)
}

func connect(asked *plan) ([]caller, error) {
	callers := make([]caller, asked.Connections)
	for place := range callers {
		connection, err := grpc.NewClient("passthrough:///"+asked.Address,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})),
			grpc.WithNoProxy())
		if err != nil {
			return nil, err
		}
		if asked.Fields == nil {
			callers[place] = &unary{connection, asked.Method, asked.Headers}
		} else if callers[place], err = openStream(connection, asked); err != nil {
			return nil, err
		}
	}
	return callers, nil
}
