package main

import (
	"context"
	"time"

	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const deadline = 5 * time.Second

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
	return grpc.NewClient(target,
		// For TLS: credentials.NewTLS(&tls.Config{}).
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithUnaryInterceptor(withDeadline))
}

// withDeadline bounds a call with all its retries; an earlier deadline of the caller holds.
func withDeadline(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return invoke(ctx, method, request, reply, conn, options...)
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
