// openloop sends requests at a fixed rate over REST or gRPC, whether or not earlier ones were answered, and measures each
// from the moment when it should have been sent: a server that stalls can't make the client leave requests out. Pauses
// between requests are waited for with nanosecond timers, because those of event loops, which round to milliseconds, are
// longer than the servers take.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// ask sends one request and waits for its answer.
type ask func() error

type sample struct {
	intended time.Time
	latency  time.Duration
	failed   bool
}

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
	inFlight := flag.Int("in-flight", 64, "requests on their way at the same time; more wait, and their time counts")
	flag.Parse()
	body, err := os.ReadFile(*bodyFile)
	check(err)
	asks := make([]ask, 0, *inFlight)
	if *useGrpc {
		asks = connectGrpc(*address, *target, body, *connections, *inFlight)
	} else {
		for range *connections {
			asks = append(asks, connectRest(*address, *target, *headers, body))
		}
	}
	run(asks, *rate, *warmup)
	report(run(asks, *rate, *seconds), *rate, *seconds)
}

func connectRest(address, target, headers string, body []byte) ask {
	connection, err := net.Dial("tcp", address)
	check(err)
	var request fasthttp.Request
	request.Header.SetMethod("POST")
	request.SetRequestURI("http://" + address + target)
	for _, header := range strings.Split(headers, "|") {
		if name, value, found := strings.Cut(header, ":"); found {
			request.Header.Set(name, value)
		}
	}
	request.SetBodyRaw(body)
	writer, reader := bufio.NewWriterSize(connection, 64<<10), bufio.NewReaderSize(connection, 64<<10)
	var response fasthttp.Response
	return func() error {
		if err := request.Write(writer); err != nil {
			return err
		}
		if err := writer.Flush(); err != nil {
			return err
		}
		if err := response.Read(reader); err != nil {
			return err
		}
		if response.StatusCode() != 200 {
			return fmt.Errorf("status %d", response.StatusCode())
		}
		return nil
	}
}

// raw is gRPC's codec for messages that are bytes already.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append((*v.(*[]byte))[:0], data...)
	return nil
}
func (raw) Name() string { return "proto" }

func connectGrpc(address, method string, body []byte, connections, inFlight int) []ask {
	asks := make([]ask, 0, inFlight)
	limit := grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30))
	clients := make([]*grpc.ClientConn, connections)
	for i := range clients {
		client, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), limit)
		check(err)
		clients[i] = client
	}
	for i := range inFlight {
		var answer []byte
		client := clients[i%connections]
		asks = append(asks, func() error { return client.Invoke(context.Background(), method, &body, &answer) })
	}
	return asks
}

// run keeps to the rate for some seconds; what isn't answered within five more has failed.
func run(asks []ask, rate, seconds float64) []sample {
	due := make(chan time.Time, int(rate*seconds)+1)
	results := make(chan []sample, len(asks))
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for _, send := range asks {
		workers.Add(1)
		go func() {
			defer workers.Done()
			var mine []sample
			for intended := range due {
				select {
				case <-stop: // too late: what waited is counted as it is
					mine = append(mine, sample{intended, time.Since(intended), true})
					continue
				default:
				}
				err := send()
				mine = append(mine, sample{intended, time.Since(intended), err != nil})
			}
			results <- mine
		}()
	}
	pace(due, rate, seconds)
	close(due)
	timer := time.AfterFunc(5*time.Second, func() { close(stop) })
	workers.Wait()
	timer.Stop()
	close(results)
	var all []sample
	for mine := range results {
		all = append(all, mine...)
	}
	return all
}

func pace(due chan<- time.Time, rate, seconds float64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	check(unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0))
	start := time.Now()
	for i := range int(rate * seconds) {
		intended := start.Add(time.Duration(float64(i) / rate * 1e9))
		if wait := time.Until(intended); wait > 0 {
			pause := unix.NsecToTimespec(int64(wait))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &pause, nil)
		}
		due <- intended
	}
}

func report(samples []sample, rate, seconds float64) {
	failed := 0
	latencies := make([]time.Duration, 0, len(samples))
	for _, one := range samples {
		if one.failed {
			failed++
		}
		latencies = append(latencies, one.latency)
	}
	slices.Sort(latencies)
	at := func(share float64) float64 {
		if len(latencies) == 0 {
			return 0
		}
		return float64(latencies[min(len(latencies)-1, int(share*float64(len(latencies))))]) / 1e6
	}
	var first, last time.Time
	for _, one := range samples {
		if first.IsZero() || one.intended.Before(first) {
			first = one.intended
		}
		if end := one.intended.Add(one.latency); end.After(last) {
			last = end
		}
	}
	answered := len(samples) - failed
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"rate": rate, "seconds": seconds, "answered": answered, "failed": failed,
		"took_seconds": last.Sub(first).Seconds(),
		"p50_ms":       at(0.5), "p99_ms": at(0.99),
	}))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "openloop:", err)
		os.Exit(1)
	}
}
