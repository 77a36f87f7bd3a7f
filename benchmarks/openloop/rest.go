package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// rest is HTTP/1.1 with one request at a time and answers that say how long they are.
type rest struct {
	ended   func(request int, failed bool)
	message []byte
	left    []byte // of the message
	request int    // -1: none is open
	head    []byte
	body    int // bytes missing; -1: the head isn't whole yet
	failed  bool
	closing bool
}

func openRest(address, target, headers string, body []byte) opener {
	var message bytes.Buffer
	fmt.Fprintf(&message, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", target, address, len(body))
	for header := range strings.SplitSeq(headers, "|") {
		if name, value, found := strings.Cut(header, ":"); found {
			fmt.Fprintf(&message, "%s: %s\r\n", name, strings.TrimSpace(value))
		}
	}
	message.WriteString("\r\n")
	message.Write(body)
	return func(ended func(request int, failed bool)) dialog {
		return &rest{ended: ended, message: message.Bytes(), request: -1, body: -1, head: make([]byte, 0, 4096)}
	}
}

func (r *rest) begin(request int) { r.request, r.left = request, r.message }
func (r *rest) unsent() []byte    { return r.left }
func (r *rest) sent(count int)    { r.left = r.left[count:] }

func (r *rest) open() []int {
	if r.request < 0 {
		return nil
	}
	return []int{r.request}
}

func (r *rest) take(data []byte) bool {
	if r.body < 0 {
		before := len(r.head)
		r.head = append(r.head, data...)
		end := bytes.Index(r.head, []byte("\r\n\r\n"))
		if end < 0 {
			return true
		}
		check(r.readHead(string(r.head[:end])))
		data = data[end+4-before:]
		r.head = r.head[:0]
	}
	r.body -= len(data)
	if r.body < 0 || r.request < 0 {
		check(fmt.Errorf("the server sent more than the answer: %.100q", data))
	}
	if r.body > 0 {
		return true
	}
	request := r.request
	r.request, r.body = -1, -1
	r.ended(request, r.failed || len(r.left) > 0)
	return !r.closing && len(r.left) == 0
}

func (r *rest) readHead(head string) error {
	line, fields, _ := strings.Cut(head, "\r\n")
	status, found := strings.CutPrefix(line, "HTTP/1.1 ")
	if !found {
		return fmt.Errorf("not an answer of HTTP/1.1: %.100q", line)
	}
	r.failed, r.closing, r.body = !strings.HasPrefix(status, "200"), false, -1
	for field := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(field, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "Content-Length"):
			length, err := strconv.ParseUint(value, 10, 62)
			if err != nil {
				return err
			}
			r.body = int(length)
		case strings.EqualFold(name, "Transfer-Encoding"):
			return fmt.Errorf("an answer without a length: Transfer-Encoding: %s", value)
		case strings.EqualFold(name, "Connection"):
			r.closing = strings.EqualFold(value, "close")
		}
	}
	if r.body < 0 {
		return fmt.Errorf("an answer without Content-Length: %.300q", head)
	}
	return nil
}
