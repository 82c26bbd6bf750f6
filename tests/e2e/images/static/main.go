// What distroless images hold: one static binary that makes its system calls itself, and no shell.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	os.ReadFile("/etc/app/config.yaml")
	os.ReadFile("/etc/app/not-there")
	os.Stat("/etc/app/stated")
	os.Readlink("/etc/app/link")
	os.ReadDir("/etc/app/parts")
	fmt.Println("done")
	<-end
	os.ReadFile("/etc/app/last")
}
