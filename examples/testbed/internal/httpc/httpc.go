// SPDX-License-Identifier: Apache-2.0

// Package httpc is a small HTTP/1.1 client over one connection from a chosen source address, for
// the load and for the attacks that are ours. net/http's client pools connections by target and
// cannot keep one per visitor.
package httpc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client holds at most one connection.
type Client struct {
	From    string // source IPv4 address
	To      string // host:port
	Agent   string
	Timeout time.Duration
	conn    net.Conn
	in      *bufio.Reader
}

// Dial connects from a source address.
func Dial(ctx context.Context, from, to string, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return d.DialContext(ctx, "tcp", to)
}

// Do sends a request with the given form, in the query or in the body as the method wants, and
// returns the status. The connection is kept when the server keeps it.
func (c *Client) Do(ctx context.Context, method, path string, form url.Values, user string) (int, error) {
	if c.conn == nil {
		conn, err := Dial(ctx, c.From, c.To, c.Timeout)
		if err != nil {
			return 0, err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	status, keep, err := c.exchange(method, path, form, user)
	if err != nil || !keep {
		c.Close()
	}
	return status, err
}

func (c *Client) exchange(method, path string, form url.Values, user string) (int, bool, error) {
	if err := c.conn.SetDeadline(time.Now().Add(c.Timeout)); err != nil {
		return 0, false, err
	}
	if _, err := io.WriteString(c.conn, c.format(method, path, form, user)); err != nil {
		return 0, false, err
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return 0, false, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, !resp.Close, err
}

func (c *Client) format(method, path string, form url.Values, user string) string {
	var b strings.Builder
	body := ""
	if method == http.MethodPost {
		body = form.Encode()
	} else if len(form) > 0 {
		path += "?" + form.Encode()
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: edge\r\nUser-Agent: %s\r\nAccept: */*\r\n", method, path, c.Agent)
	if user != "" {
		fmt.Fprintf(&b, "X-User: %s\r\n", user)
	}
	if method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.WriteString(body)
	return b.String()
}

// Close drops the connection.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
