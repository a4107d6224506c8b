package main

import (
	"math/rand/v2"
	"sync"
	"time"
)

// load makes calls by several callers, and keeps their latencies.
type load struct {
	callers   []caller
	calls     []*call
	mutex     sync.Mutex
	latencies []float64
	inTime    int
	failure   error
	end       time.Time
}

// closed keeps calls in flight for a time. Each caller makes all calls equally often.
func (l *load) closed(length time.Duration, inFlight int) (*outcome, error) {
	var group sync.WaitGroup
	l.end = time.Now().Add(length)
	for place := range inFlight {
		caller, call := l.choose(place)
		group.Go(func() {
			for begin := time.Now(); begin.Before(l.end); begin = time.Now() {
				if !l.timed(caller, call, begin) {
					return
				}
			}
		})
	}
	group.Wait()
	return l.outcome(length)
}

// open begins calls at random times, the same in each run. None waits for the answer of another.
func (l *load) open(length time.Duration, perSecond float64) (*outcome, error) {
	var group sync.WaitGroup
	timer, err := newTimer()
	if err != nil {
		return nil, err
	}
	gaps := rand.New(rand.NewPCG(0, 0))
	at := time.Now()
	l.end = at.Add(length)
	for place := 0; ; place++ {
		at = at.Add(time.Duration(gaps.ExpFloat64() / perSecond * float64(time.Second)))
		if at.After(l.end) {
			break
		}
		if err := timer.waitUntil(at); err != nil {
			return nil, err
		}
		begin := at
		caller, call := l.choose(place)
		group.Go(func() { l.timed(caller, call, begin) })
	}
	group.Wait()
	return l.outcome(length)
}

// choose goes through all pairs of a caller and a call.
func (l *load) choose(place int) (caller, *call) {
	callers := len(l.callers)
	return l.callers[place%callers], l.calls[place/callers%len(l.calls)]
}

// timed makes a call, and keeps its latency from its time to begin on. It returns whether the call succeeded.
func (l *load) timed(caller caller, call *call, begin time.Time) bool {
	err := caller.make(call)
	now := time.Now()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if err != nil {
		l.failure = err
		return false
	}
	l.latencies = append(l.latencies, now.Sub(begin).Seconds())
	if now.Before(l.end) {
		l.inTime++
	}
	return true
}

func (l *load) outcome(length time.Duration) (*outcome, error) {
	return &outcome{
		Answered:  len(l.latencies) + len(l.callers), // the first call of each caller
		PerSecond: float64(l.inTime) / length.Seconds(),
		Latencies: l.latencies,
	}, l.failure
}
