// openloop sends requests at a fixed rate over REST or gRPC, whether or not earlier ones were answered, and measures each
// from the moment when it was due: a server that stalls can't make the client leave requests out.
//
// What it measures is shorter than what a scheduler takes to bring a thread back, and it may share its cores with the
// server: so one thread does everything, in a loop of its own over nonblocking sockets (loop.go), and Go's runtime, whose
// threads would run beside it, has nothing to do.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	address := flag.String("address", "", "host:port")
	target := flag.String("target", "", "path, or gRPC method")
	useGrpc := flag.Bool("grpc", false, "gRPC; the body is one serialized message")
	bodyFile := flag.String("body", "", "file with the body")
	headers := flag.String("headers", "", "REST: `name:value`, separated by |")
	rate := flag.Float64("rate", 0, "requests per second")
	seconds := flag.Float64("seconds", 0, "how long")
	warmup := flag.Float64("warmup", 0.3, "seconds before that, not measured")
	connections := flag.Int("connections", 1, "connections")
	inFlight := flag.Int("in-flight", 64, "gRPC: requests on their way at the same time; more wait, and their time counts")
	flag.Parse()
	body, err := os.ReadFile(*bodyFile)
	check(err)

	open, each := openRest(*address, *target, *headers, body), 1
	if *useGrpc {
		each = (*inFlight + *connections - 1) / *connections
		open = openGrpc(*address, *target, body, each)
	}
	loop := newLoop(*address, *connections, each, open)
	keepAwake()
	debug.SetGCPercent(-1)
	// With one turn to give away, and system calls that Go isn't told of, nothing makes it move this to another thread.
	// Locking it to one would have it put aside and fetched back by another every ten milliseconds.
	runtime.GOMAXPROCS(1)
	check(unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0))
	askForShortSlices()
	loop.run(*rate, *warmup)
	report(loop.run(*rate, *seconds), *rate, *seconds)
}

// askForShortSlices lets the thread, when it wakes up, go before one that runs on the same core for longer than this. Linux
// knows it from 6.12 on; elsewhere nothing changes.
func askForShortSlices() {
	attributes, err := unix.SchedGetAttr(0, 0)
	if err == nil && attributes.Policy == unix.SCHED_NORMAL {
		attributes.Runtime = uint64(100 * time.Microsecond)
		_ = unix.SchedSetAttr(0, attributes, 0)
	}
}

func report(found result, rate, seconds float64) {
	slices.Sort(found.latencies)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"rate": rate, "seconds": seconds, "answered": len(found.latencies) - found.failed, "failed": found.failed,
		"took_seconds": found.took.Seconds(),
		"p50_ms":       percentile(found.latencies, 0.5), "p99_ms": percentile(found.latencies, 0.99),
	}))
}

// percentile is the smallest, in milliseconds, that at least this share doesn't exceed; 0 of none.
func percentile(ordered []time.Duration, share float64) float64 {
	if len(ordered) == 0 {
		return 0
	}
	return float64(ordered[max(0, int(math.Ceil(share*float64(len(ordered))))-1)]) / 1e6
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "openloop:", err)
		os.Exit(1)
	}
}
