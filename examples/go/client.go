package main

import (
	"context"
	"io"
	"iter"
	"slices"
	"time"

	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "example/travel/sessionhistory/v1"
)

const (
	deadline       = 5 * time.Second
	streamDeadline = 5 * time.Minute // a model takes its time
	streamWait     = 200 * time.Millisecond
)

const serviceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{
    "name": [{"service": "sessionhistory.v1.SessionHistoryService"}],
    "retryPolicy": {
      "maxAttempts": 5,
      "initialBackoff": "0.2s",
      "maxBackoff": "2s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
}`

// connect opens a channel to all addresses of a target. Its calls are retried while a server is
// unavailable.
func connect(target string) (*grpc.ClientConn, error) {
	options, err := credentialOptions()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(target, append(options,
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithUnaryInterceptor(withDeadline))...)
}

// withDeadline bounds a call with all its retries; an earlier deadline of the caller holds.
func withDeadline(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return invoke(ctx, method, request, reply, conn, options...)
}

// piece is a piece of a streamed message: a header, a delta or a finish.
type piece = pb.AppendMessageStreamRequest

// appendStream stores a message while its pieces arrive: a header, deltas, a finish. If the pieces
// end without a finish, the stream breaks, and the service keeps the part that has arrived.
//
// If the connection is lost meanwhile, appendStream collects the remaining pieces and sends all of
// them again. Because of the message id in the header, the message is stored once.
func appendStream(ctx context.Context, history pb.SessionHistoryServiceClient,
	pieces iter.Seq[*piece]) (*pb.AppendMessageStreamResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, streamDeadline)
	defer cancel()
	var sent []*piece
	response, err := send(ctx, history, func(yield func(*piece) bool) {
		for piece := range pieces {
			sent = append(sent, piece)
			if !yield(piece) {
				return
			}
		}
	})
	for wait := streamWait; status.Code(err) == codes.Unavailable; wait *= 2 {
		select {
		case <-time.After(wait):
			response, err = send(ctx, history, slices.Values(sent))
		case <-ctx.Done():
			return nil, err
		}
	}
	return response, err
}

func send(ctx context.Context, history pb.SessionHistoryServiceClient,
	pieces iter.Seq[*piece]) (*pb.AppendMessageStreamResponse, error) {
	stream, err := history.AppendMessageStream(ctx)
	for piece := range pieces {
		if err == nil {
			err = stream.Send(piece)
		}
	}
	if err != nil && err != io.EOF { // io.EOF: the stream has ended, and its response says why
		return nil, err
	}
	return stream.CloseAndRecv()
}

// describe names an error's code and, if the service itself refused the call, its reason.
func describe(err error) string {
	name := rpccode.Code(status.Code(err)).String()
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return name + ", " + info.GetReason()
		}
	}
	return name
}
