package main

import (
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience is for what isn't answered when the last request was due; what takes longer has failed.
const patience = 5 * time.Second

// dialog is a protocol on one connection: bytes in, bytes out. What it can't read at all ends the program.
type dialog interface {
	// begin is called only while fewer requests are open than the connection may have.
	begin(request int)
	// unsent is what the socket should take next; sent says how much it took.
	unsent() []byte
	sent(count int)
	// take reads what came; false: the server takes no more on this connection.
	take(data []byte) bool
	// open lists the requests that have begun and not ended.
	open() []int
}

// opener makes a dialog; it tells of each request that ends.
type opener func(ended func(request int, failed bool)) dialog

type connection struct {
	dialog
	ended func(request int, failed bool)
	fd    int
}

// loop is the only thread: it sends what is due, reads answers, and accounts for them.
type loop struct {
	address     *unix.SockaddrInet4
	openDialog  opener
	epoll       int
	events      []unix.EpollEvent
	buffer      []byte
	connections []connection
	// idle has each connection once for each request that it could begin. The one that has waited longest is next, so that
	// all are in use, as those of many users are, and all processes of a server that has several.
	idle []int

	begun, ended, failed int
	start                time.Time
	interval             float64
	latencies            []time.Duration
}

// result has an entry in latencies for each request; `took` is from when the first was due until the last one ended.
type result struct {
	latencies []time.Duration
	failed    int
	took      time.Duration
}

// newLoop connects; `each`: requests at the same time on one connection.
func newLoop(address string, connections, each int, openDialog opener) *loop {
	resolved, err := net.ResolveTCPAddr("tcp4", address)
	check(err)
	l := &loop{
		address:     &unix.SockaddrInet4{Port: resolved.Port, Addr: [4]byte(resolved.IP.To4())},
		openDialog:  openDialog,
		events:      make([]unix.EpollEvent, connections),
		buffer:      make([]byte, 1<<20),
		connections: make([]connection, connections),
	}
	l.epoll, err = unix.EpollCreate1(0)
	check(err)
	for i := range connections {
		l.connect(i)
	}
	for range each {
		for i := range connections {
			l.idle = append(l.idle, i)
		}
	}
	return l
}

func (l *loop) connect(index int) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	check(unix.Connect(fd, l.address))
	check(unix.SetNonblock(fd, true))
	check(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(index)}
	check(unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event))
	ended := func(request int, failed bool) {
		l.idle = append(l.idle, index)
		l.account(request, failed)
	}
	l.connections[index] = connection{l.openDialog(ended), ended, fd}
}

// reconnect fails what is open on a connection that the server closed, or that nothing more is expected from.
func (l *loop) reconnect(index int) {
	one := &l.connections[index]
	for _, request := range one.open() {
		one.ended(request, true)
	}
	check(unix.Close(one.fd))
	l.connect(index)
}

// run keeps to the rate for some seconds, evenly spaced.
func (l *loop) run(rate, seconds float64) result {
	total := int(rate * seconds)
	l.begun, l.ended, l.failed, l.interval = 0, 0, 0, 1e9/rate
	l.latencies = make([]time.Duration, total)
	for i := range l.latencies {
		l.latencies[i] = -1 // also touches the memory before anything is measured
	}
	l.start = time.Now()
	end := l.due(total) + patience
	for l.ended < total {
		now := time.Since(l.start)
		if now >= end {
			l.giveUp(total)
			break
		}
		next := end
		for l.begun < total && len(l.idle) > 0 {
			if next = l.due(l.begun); next > now {
				break
			}
			l.send()
			next = end
		}
		l.wait(next)
	}
	return result{l.latencies, l.failed, l.findEnd()}
}

// due is when a request should be sent, since the start.
func (l *loop) due(request int) time.Duration {
	return time.Duration(float64(request) * l.interval)
}

func (l *loop) send() {
	index := l.idle[0]
	copy(l.idle, l.idle[1:])
	l.idle = l.idle[:len(l.idle)-1]
	request := l.begun
	l.begun++
	l.connections[index].begin(request)
	if !l.flush(index) {
		l.reconnect(index)
	}
}

// flush writes as much as the socket takes; false: it is closed. The rest follows when there is room again.
func (l *loop) flush(index int) bool {
	one := &l.connections[index]
	for data := one.unsent(); len(data) > 0; data = one.unsent() {
		count, err := call(unix.SYS_WRITE, one.fd, data)
		if err == unix.EAGAIN {
			return true
		}
		if err != 0 {
			return false
		}
		one.sent(count)
	}
	return true
}

// read takes what has come; false: the connection is closed, which is told once, so that `closed` asks to look for it.
func (l *loop) read(index int, closed bool) bool {
	one := &l.connections[index]
	for {
		count, err := call(unix.SYS_READ, one.fd, l.buffer)
		if err == unix.EAGAIN {
			return true
		}
		if err != 0 || count == 0 || !one.take(l.buffer[:count]) {
			return false
		}
		if count < len(l.buffer) && !closed {
			return true
		}
	}
}

func (l *loop) account(request int, failed bool) {
	l.ended++
	l.latencies[request] = time.Since(l.start) - l.due(request)
	if failed {
		l.failed++
	}
}

// giveUp fails all that isn't answered, sent or not.
func (l *loop) giveUp(total int) {
	for i := range l.connections {
		if len(l.connections[i].open()) > 0 {
			l.reconnect(i)
		}
	}
	for ; l.begun < total; l.begun++ {
		l.account(l.begun, true)
	}
}

// findEnd is when the last request ended.
func (l *loop) findEnd() time.Duration {
	var last time.Duration
	for request, latency := range l.latencies {
		last = max(last, l.due(request)+latency)
	}
	return last
}

// wait serves the sockets; it returns when it has done so, or when it is time for the next request.
func (l *loop) wait(next time.Duration) {
	pause := unix.NsecToTimespec(int64(max(0, next-time.Since(l.start))))
	count, _, err := unix.RawSyscall6(
		unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)),
		uintptr(unsafe.Pointer(&pause)), 0, 0,
	)
	if err == unix.EINTR {
		return
	}
	if err != 0 {
		check(err)
	}
	for _, event := range l.events[:count] {
		index := int(event.Fd)
		if closed := event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0; !l.read(index, closed) || !l.flush(index) {
			l.reconnect(index)
		}
	}
}

// call reads or writes without telling Go's scheduler: it would give the thread's turn away, and wake others for it.
func call(number uintptr, fd int, data []byte) (int, unix.Errno) {
	count, _, err := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	return int(count), err
}
