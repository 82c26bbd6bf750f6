// A static server with its client. ARGUMENTS: ZONE PATH…
package main

import (
	"crypto/x509"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"time"
)

func main() {
	zone, err := time.LoadLocation(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(time.Unix(1720000000, 0).In(zone))
	account, err := user.Lookup("www-data")
	fmt.Println(account, err)
	roots, err := x509.SystemCertPool()
	fmt.Println(len(roots.Subjects()) > 50, err)
	http.HandleFunc("/page", func(writer http.ResponseWriter, _ *http.Request) {
		template.Must(template.ParseFiles("page.html")).Execute(writer, "<a & b>")
	})
	http.Handle("/", http.FileServer(http.Dir(".")))
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go http.Serve(listener, nil)
	for _, path := range os.Args[2:] {
		answer, err := http.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		body, _ := io.ReadAll(answer.Body)
		fmt.Println(answer.StatusCode, answer.Header.Get("Content-Type"), string(body))
	}
}
