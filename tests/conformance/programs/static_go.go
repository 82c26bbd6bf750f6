// What a Go service does with files: it reads configuration, lists directories, makes files, runs programs.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	os.ReadFile("/etc/hosts")
	os.ReadFile("/etc/resolv.conf")
	os.Open("missing.yaml")
	os.Stat("config")
	os.Lstat("link")
	os.Readlink("link")
	filepath.EvalSymlinks("link")
	filepath.WalkDir("config", func(string, os.DirEntry, error) error { return nil })
	os.MkdirAll("made/a/b", 0o755)
	os.WriteFile("made/a/b/file.tmp", []byte("x"), 0o600)
	os.Rename("made/a/b/file.tmp", "made/a/b/file")
	os.CreateTemp("", "go-*")
	os.Chdir("config")
	os.ReadFile("app.toml")
	os.RemoveAll("../made")
	done := make(chan struct{})
	for i := 0; i < 8; i++ {
		go func() {
			os.ReadFile(fmt.Sprintf("part-%d", i))
			done <- struct{}{}
		}()
	}
	for i := 0; i < 8; i++ {
		<-done
	}
	exec.Command("true").Run()
	fmt.Println("done")
}
