package main

import (
	"encoding/binary"
	"os"
)

// keepAwake keeps the cores from sleeping until the program ends, where it may: on Linux as root. On a virtual machine it
// takes the host up to milliseconds to bring back a core that slept, and that would be the tail of whatever is measured.
// A thread of ours that keeps each core busy would do that too, but servers of several threads then wait longer: the
// kernel looks for waiting ones when a core has nothing to do.
func keepAwake() {
	if file, err := os.OpenFile("/dev/cpu_dma_latency", os.O_WRONLY, 0); err == nil {
		held = file
		_ = binary.Write(file, binary.NativeEndian, int32(0))
	}
}

// held lasts as long as the wish does.
var held *os.File
