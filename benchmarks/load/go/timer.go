package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timer waits to within some ten microseconds. time.Sleep takes a millisecond too long in a process that is idle,
// which is longer than most calls take.
type timer struct {
	file *os.File
	fd   int
}

func newTimer() (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &timer{os.NewFile(uintptr(fd), "timer"), fd}, nil
}

func (t *timer) waitUntil(at time.Time) error {
	left := time.Until(at)
	if left <= 0 {
		return nil
	}
	value := unix.ItimerSpec{Value: unix.NsecToTimespec(left.Nanoseconds())}
	if err := unix.TimerfdSettime(t.fd, 0, &value, nil); err != nil {
		return err
	}
	var expirations [8]byte
	_, err := t.file.Read(expirations[:])
	return err
}
