// The guestbook as a CGI program in Go, with its standard net/http/cgi and mattn's go-sqlite3.
package main

import (
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	_ "github.com/mattn/go-sqlite3"
)

const head = "@HEAD@" // the page's, filled in from apps/guestbook.py

var (
	database *sql.DB
	escaper  = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;")
)

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "Internal Server Error", 500)
}

func list(w http.ResponseWriter) {
	rows, err := database.Query("SELECT name, message, substr(created, 1, 16) FROM entries " +
		"ORDER BY id DESC LIMIT 100")
	if err != nil {
		fail(w, err)
		return
	}
	var page strings.Builder
	page.WriteString(head)
	for rows.Next() {
		var name, message, created string
		if err := rows.Scan(&name, &message, &created); err != nil {
			fail(w, err)
			return
		}
		fmt.Fprintf(&page, "<article><h2>%s</h2><time datetime=\"%sZ\">%s UTC</time><p>%s</p></article>\n",
			escaper.Replace(name), created, created, escaper.Replace(message))
	}
	if err := rows.Err(); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(page.Len()))
	w.Write([]byte(page.String()))
}

func add(w http.ResponseWriter, r *http.Request) {
	name, message := r.PostFormValue("name"), r.PostFormValue("message")
	if name == "" || utf8.RuneCountInString(name) > 80 {
		http.Error(w, "A name has 1 to 80 characters.", 400)
		return
	}
	if message == "" || utf8.RuneCountInString(message) > 2000 {
		http.Error(w, "A message has 1 to 2000 characters.", 400)
		return
	}
	for _, pragma := range []string{"PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL"} {
		if _, err := database.Exec(pragma); err != nil {
			fail(w, err)
			return
		}
	}
	if _, err := database.Exec("INSERT INTO entries (name, message) VALUES (?, ?)", name, message); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Location", os.Getenv("SCRIPT_NAME"))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(303)
}

func main() {
	var err error
	database, err = sql.Open("sqlite3", os.Getenv("GUESTBOOK_DB")+"?_busy_timeout=5000")
	if err != nil {
		log.Fatal(err)
	}
	database.SetMaxOpenConns(1)
	err = cgi.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			add(w, r)
		} else {
			list(w)
		}
	}))
	database.Close()
	if err != nil {
		log.Fatal(err)
	}
}
