// "Hello world" as a CGI program in Go, with its standard net/http/cgi.
package main

import (
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"strconv"
)

func hello(w http.ResponseWriter, _ *http.Request) {
	const body = "Hello world"

	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	io.WriteString(w, body)
}

func main() {
	if err := cgi.Serve(http.HandlerFunc(hello)); err != nil {
		log.Fatal(err)
	}
}
