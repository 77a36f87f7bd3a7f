package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	firstWindow = 65535 // of a connection and of each stream, until the other side says otherwise
	maxFrame    = 16384
	refill      = 1 << 30
)

// stream is one call. `id` 0: free; `window`: how much the server takes; `left`: of the message.
type stream struct {
	id      uint32
	request int
	window  int64
	left    []byte
}

// rpc is gRPC over HTTP/2, unary, many calls at the same time.
type rpc struct {
	headers []hpack.HeaderField
	message []byte
	in, out bytes.Buffer
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	decoder *hpack.Decoder

	streams              []stream
	nextID               uint32
	window, streamWindow int64
	received             uint32
	ending               bool // the header block that is being read is a stream's last
	grpcStatus           string
	ended                func(request int, failed bool)
}

func openGrpc(address, method string, body []byte, each int) opener {
	message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	headers := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: method},
		{Name: ":authority", Value: address}, {Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "openloop"}, {Name: "te", Value: "trailers"},
	}
	return func(ended func(request int, failed bool)) dialog {
		g := &rpc{
			ended:   ended,
			headers: headers, message: message, streams: make([]stream, each), nextID: 1,
			window: firstWindow, streamWindow: firstWindow,
		}
		g.in.Grow(1 << 20)
		g.out.Grow(1 << 16)
		g.framer = http2.NewFramer(&g.out, &g.in)
		g.framer.SetReuseFrames()
		g.encoder = hpack.NewEncoder(&g.block)
		g.decoder = hpack.NewDecoder(4096, g.see)
		g.out.WriteString(http2.ClientPreface)
		check(g.framer.WriteSettings(
			http2.Setting{ID: http2.SettingEnablePush, Val: 0},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32},
		))
		check(g.framer.WriteWindowUpdate(0, math.MaxInt32-firstWindow))
		return g
	}
}

func (g *rpc) unsent() []byte { return g.out.Bytes() }
func (g *rpc) sent(count int) { g.out.Next(count) }

func (g *rpc) open() []int {
	var requests []int
	for _, one := range g.streams {
		if one.id != 0 {
			requests = append(requests, one.request)
		}
	}
	return requests
}

func (g *rpc) begin(request int) {
	one := g.find(0)
	*one = stream{g.nextID, request, g.streamWindow, g.message}
	g.nextID += 2
	g.block.Reset()
	for _, field := range g.headers {
		check(g.encoder.WriteField(field))
	}
	check(g.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: one.id, BlockFragment: g.block.Bytes(), EndHeaders: true}))
	g.write(one)
}

// write sends as much of a stream's message as the server has room for.
func (g *rpc) write(one *stream) {
	for len(one.left) > 0 {
		count := min(int64(len(one.left)), g.window, one.window, maxFrame)
		if count <= 0 {
			return
		}
		data := one.left[:count]
		one.left = one.left[count:]
		g.window -= count
		one.window -= count
		check(g.framer.WriteData(one.id, len(one.left) == 0, data))
	}
}

// find is nil where there is no such stream (any more).
func (g *rpc) find(id uint32) *stream {
	for i := range g.streams {
		if g.streams[i].id == id {
			return &g.streams[i]
		}
	}
	return nil
}

func (g *rpc) take(data []byte) bool {
	g.in.Write(data)
	for g.hasFrame() {
		frame, err := g.framer.ReadFrame()
		check(err)
		if !g.read(frame) {
			return false
		}
	}
	return true
}

func (g *rpc) hasFrame() bool {
	const head = 9
	data := g.in.Bytes()
	return len(data) >= head && len(data) >= head+int(data[0])<<16+int(data[1])<<8+int(data[2])
}

func (g *rpc) read(frame http2.Frame) bool {
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		g.ending, g.grpcStatus = frame.StreamEnded(), ""
		g.readHeaders(frame.StreamID, frame.HeaderBlockFragment(), frame.HeadersEnded())
	case *http2.ContinuationFrame:
		g.readHeaders(frame.StreamID, frame.HeaderBlockFragment(), frame.HeadersEnded())
	case *http2.DataFrame:
		g.readData(frame)
	case *http2.SettingsFrame:
		g.readSettings(frame)
	case *http2.WindowUpdateFrame:
		g.widen(frame.StreamID, int64(frame.Increment))
	case *http2.PingFrame:
		if !frame.IsAck() {
			check(g.framer.WritePing(true, frame.Data))
		}
	case *http2.RSTStreamFrame:
		g.end(frame.StreamID, true)
	case *http2.GoAwayFrame:
		return false
	}
	return true
}

func (g *rpc) readHeaders(id uint32, fragment []byte, last bool) {
	_, err := g.decoder.Write(fragment)
	check(err)
	if last {
		check(g.decoder.Close())
		if g.ending {
			g.end(id, g.grpcStatus != "0")
		}
	}
}

// see gets each field of a header block.
func (g *rpc) see(field hpack.HeaderField) {
	if field.Name == "grpc-status" {
		g.grpcStatus = field.Value
	}
}

func (g *rpc) readData(frame *http2.DataFrame) {
	g.received += frame.Length
	if g.received >= refill {
		check(g.framer.WriteWindowUpdate(0, g.received))
		g.received = 0
	}
	if frame.StreamEnded() { // without the trailers that tell whether it succeeded
		g.end(frame.StreamID, true)
	}
}

func (g *rpc) readSettings(frame *http2.SettingsFrame) {
	if frame.IsAck() {
		return
	}
	check(frame.ForeachSetting(func(setting http2.Setting) error {
		switch setting.ID {
		case http2.SettingMaxConcurrentStreams:
			if int64(setting.Val) < int64(len(g.streams)) {
				return fmt.Errorf("the server takes %d calls on a connection, not %d", setting.Val, len(g.streams))
			}
		case http2.SettingHeaderTableSize:
			g.encoder.SetMaxDynamicTableSizeLimit(setting.Val)
		case http2.SettingInitialWindowSize:
			more := int64(setting.Val) - g.streamWindow
			g.streamWindow += more
			for i := range g.streams {
				g.streams[i].window += more
			}
		}
		return nil
	}))
	check(g.framer.WriteSettingsAck())
	g.writeAll()
}

func (g *rpc) widen(id uint32, more int64) {
	if id == 0 {
		g.window += more
	} else if one := g.find(id); one != nil {
		one.window += more
	}
	g.writeAll()
}

func (g *rpc) writeAll() {
	for i := range g.streams {
		g.write(&g.streams[i])
	}
}

func (g *rpc) end(id uint32, failed bool) {
	if one := g.find(id); one != nil {
		request := one.request
		if len(one.left) > 0 {
			check(g.framer.WriteRSTStream(id, http2.ErrCodeCancel))
			failed = true
		}
		*one = stream{}
		g.ended(request, failed)
	}
}
