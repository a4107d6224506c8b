package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// deadline is the deadline of each call, much longer than any call takes.
const deadline = 10 * time.Second

// unary makes each call in a request of its own.
type unary struct {
	connection *grpc.ClientConn
	method     string
	headers    map[string]string
}

func (u *unary) make(call *call) error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var answer []byte
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(u.headers))
	if err := u.connection.Invoke(ctx, u.method, &call.Request, &answer); err != nil {
		return err
	}
	return call.check(len(answer))
}
