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
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "example/travel/sessionhistory/v1"
)

const (
	deadline       = 5 * time.Second
	streamDeadline = 5 * time.Minute // a model takes its time
	streamWait     = 200 * time.Millisecond
	keepaliveTime  = 20 * time.Second // a connection that is silent for so long is probed
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
// unavailable. The interceptors are asked in order, behind withDeadline.
func connect(target string, interceptors ...grpc.UnaryClientInterceptor) (*grpc.ClientConn, error) {
	options, err := credentialOptions()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(target, append(options,
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime}),
		grpc.WithUnaryInterceptor(withDeadline),
		grpc.WithChainUnaryInterceptor(interceptors...))...)
}

// withDeadline bounds a call with all its retries, unless its caller has set a deadline.
func withDeadline(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
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
	if reason := reason(err); reason != "" {
		return name + ", " + reason
	}
	return name
}

// reason returns the service's reason for an error, or "".
func reason(err error) string {
	return detail[*errdetails.ErrorInfo](err).GetReason()
}

// detail returns the detail of a type that an error has, or nil.
func detail[D proto.Message](err error) (none D) {
	for _, detail := range status.Convert(err).Details() {
		if found, ok := detail.(D); ok {
			return found
		}
	}
	return none
}
