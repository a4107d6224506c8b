package main

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "example/travel/sessionhistory/v1"
)

const (
	maxCalls          = 256     // in progress on a stream, from sending to outcome
	maxCallsOfSession = 64      // of these, for one session
	maxBytes          = 1 << 20 // of calls that share a message
	firstWait         = 200 * time.Millisecond
	longestWait       = 2 * time.Second
	lateness          = time.Second // of an outcome, after which its stream counts as broken
	unaryTime         = time.Minute // for which calls are unary if the server does not know CallStream
)

// breakCodes has the codes of streams that were not refused. The code of io.EOF is Unknown.
var breakCodes = []codes.Code{codes.Canceled, codes.Internal, codes.Unknown}

// callStream makes calls over one stream that stays open. Its invoke is an interceptor behind withDeadline: the
// generated client's calls take the stream, or are unary if CallStream does not have their method. Metadata and
// options of a call apply only if it is unary.
type callStream struct {
	room       chan struct{}      // has an element for each call in progress
	lanes      [256]chan struct{} // the same, for the sessions with one hash
	seed       maphash.Seed
	unaryUntil atomic.Int64 // in nanoseconds

	mu      sync.Mutex // also guards the streams
	current *stream    // the stream of the next call, which opens one if there is none
}

type stream struct {
	queue   chan *pb.StreamedCall // has room for all calls in progress; closed if the stream takes no more
	pending map[uint32]*pending   // the calls without an outcome, by number
	last    uint32                // the number of the last call
	retired bool
	cancel  context.CancelFunc
}

// pending is a call in progress. If its caller gives up, it keeps its room, because the server goes on.
type pending struct {
	lane chan struct{}
	done chan result // has room for the result
}

type result struct {
	outcome *pb.CallOutcome
	err     error // of the stream; the call may or may not have been carried out
}

func newCallStream() *callStream {
	c := &callStream{room: make(chan struct{}, maxCalls), seed: maphash.MakeSeed()}
	for i := range c.lanes {
		c.lanes[i] = make(chan struct{}, maxCallsOfSession)
	}
	return c
}

// invoke makes a call, and until its deadline repeats it if it may.
func (c *callStream) invoke(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	unary grpc.UnaryInvoker, options ...grpc.CallOption) error {
	call := streamedCall(request.(proto.Message))
	for wait := firstWait; call != nil && !c.isUnary(); wait = min(2*wait, longestWait) {
		err := c.attempt(ctx, conn, call, reply.(proto.Message))
		if status.Code(err) == codes.Unimplemented {
			if reason(err) != "METHOD_UNKNOWN" { // it is the stream that the server or a proxy does not know
				c.unaryUntil.Store(time.Now().Add(unaryTime).UnixNano())
			}
			break
		}
		if !mayRepeat(request, err) {
			return err
		}
		select {
		case <-time.After(max(wait, detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration())):
		case <-ctx.Done():
			return err
		}
	}
	return unary(ctx, method, request, reply, conn, options...)
}

func (c *callStream) isUnary() bool { return time.Now().UnixNano() < c.unaryUntil.Load() }

// attempt makes a call once, as soon as there is room for it.
func (c *callStream) attempt(ctx context.Context, conn *grpc.ClientConn, call *pb.StreamedCall,
	reply proto.Message) error {
	p := &pending{lane: c.lanes[maphash.String(c.seed, sessionOf(call))%uint64(len(c.lanes))]}
	p.done = make(chan result, 1)
	if err := take(ctx, p.lane); err != nil {
		return err
	}
	if err := take(ctx, c.room); err != nil {
		<-p.lane
		return err
	}
	deadline, _ := ctx.Deadline() // withDeadline has set one
	timeout := durationpb.New(max(time.Until(deadline), time.Millisecond))
	s, number := c.enqueue(conn, &pb.StreamedCall{Timeout: timeout, Request: call.GetRequest()}, p)
	select {
	case r := <-p.done:
		if r.err != nil {
			return r.err
		}
		return answer(r.outcome, reply)
	case <-ctx.Done():
		time.AfterFunc(time.Until(deadline)+lateness, func() { c.cancelIfPending(s, number) })
		return status.FromContextError(ctx.Err()).Err()
	}
}

func take(ctx context.Context, room chan struct{}) error {
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// enqueue gives a call to the current stream, or to a new one, and returns its number there.
func (c *callStream) enqueue(conn *grpc.ClientConn, call *pb.StreamedCall, p *pending) (*stream, uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		c.current = c.open(conn)
	}
	s := c.current
	s.last++
	call.Number = s.last
	s.pending[s.last] = p
	s.queue <- call
	return s, s.last
}

func (c *callStream) open(conn *grpc.ClientConn) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	queue := make(chan *pb.StreamedCall, maxCalls)
	s := &stream{queue: queue, pending: map[uint32]*pending{}, cancel: cancel}
	go func() {
		defer cancel()
		rpc, err := pb.NewSessionHistoryServiceClient(conn).CallStream(ctx)
		if err == nil {
			go s.send(rpc)
			err = c.receive(s, rpc)
		}
		c.end(s, err)
	}()
	return s
}

// send sends the calls of the queue, those that wait together in one message. It ignores errors, because receive
// gets the reason.
func (s *stream) send(rpc pb.SessionHistoryService_CallStreamClient) {
	request, bytes := &pb.CallStreamRequest{}, 0
	flush := func() {
		_ = rpc.Send(request)
		request, bytes = &pb.CallStreamRequest{}, 0
	}
	for call := range s.queue {
		size := proto.Size(call)
		if bytes > 0 && bytes+size > maxBytes {
			flush()
		}
		request.Calls, bytes = append(request.Calls, call), bytes+size
		if len(s.queue) == 0 {
			flush()
		}
	}
	_ = rpc.CloseSend()
}

// receive gives each outcome to its call. If the server announces the end of the stream, it answers all calls
// that it has read, and new calls take another stream.
func (c *callStream) receive(s *stream, rpc pb.SessionHistoryService_CallStreamClient) error {
	for isOpen := false; ; isOpen = true {
		response, err := rpc.Recv()
		switch code := status.Code(err); {
		case err == nil:
		case slices.Contains(breakCodes, code), isOpen && code == codes.Unauthenticated: // its key has expired
			return status.Error(codes.Unavailable, "the stream ended before the call's outcome: "+err.Error())
		default:
			return err
		}
		if response.GetEnding() != nil {
			c.retire(s)
		}
		for _, outcome := range response.GetOutcomes() {
			c.resolve(s, outcome.GetNumber(), result{outcome: outcome})
		}
	}
}

// end gives the calls that have no outcome the error of their stream.
func (c *callStream) end(s *stream, err error) {
	c.retire(s)
	for number := range s.pending { // no other goroutine changes it now
		c.resolve(s, number, result{err: err})
	}
}

// retire lets new calls take another stream. This one then ends its side, after the calls in its queue.
func (c *callStream) retire(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.retired {
		s.retired = true
		c.current = nil
		close(s.queue)
	}
}

func (c *callStream) resolve(s *stream, number uint32, r result) {
	c.mu.Lock()
	p := s.pending[number]
	delete(s.pending, number)
	c.mu.Unlock()
	if p != nil {
		<-c.room
		<-p.lane
		p.done <- r
	}
}

func (c *callStream) cancelIfPending(s *stream, number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.pending[number] != nil {
		s.cancel()
	}
}
