package main

import (
	"encoding/binary"
	"os"
)

// keepAwake keeps the cores from sleeping until the program ends, where it may: on Linux as root. A core that slept is not
// back at once, on a virtual machine least of all, and that would be part of the tail of whatever is measured.
func keepAwake() {
	if file, err := os.OpenFile("/dev/cpu_dma_latency", os.O_WRONLY, 0); err == nil {
		held = file
		_ = binary.Write(file, binary.NativeEndian, int32(0))
	}
}

// held lasts as long as the wish does.
var held *os.File
